-- bundle.lua: what a packed policy carries beside its graphs and weights, so that nothing has to lie beside it: seven items, each a
-- small JSON object among the file's attributes. An item that an architecture has no use for says so: { none = "why" }. One that is
-- missing is refused by name, with the option of evla pack that supplies it; nothing is guessed.
local evla = require "evla.core"
local files = require "evla.files"
local json = require "evla.json"
local pretty = require "evla.pretty"

local bundle = {}
local VERSION = 1

-- What there is, the fields that each must have, and how to supply it.
local ITEMS = {
  { name = "tokenizer", fields = { from = "text" }, supply = "--tokenizer FILE" },
  { name = "pictures", fields = { cameras = "count", height = "count", width = "count", fit = "text", colours = "text" },
    supply = "--cameras N" },
  { name = "prompt", fields = { template = "text" } },
  { name = "noise", fields = { distribution = "text", inputs = "object", seed = "text" } },
  { name = "statistics", fields = {}, each = "numbers" },
  { name = "actions", fields = { count = "count", horizon = "count" } },
  { name = "license", fields = { name = "text" }, supply = "--license NAME" },
}

local function is_numbers(v)
  if type(v) ~= "table" or #v == 0 then return false end
  for _, x in ipairs(v) do if type(x) ~= "number" then return false end end
  return true
end

local KINDS = {
  text = function(v) return type(v) == "string" and v ~= "" end,
  count = function(v) return math.type(v) == "integer" and v >= 1 and v <= 1 << 24 end,
  object = function(v) return type(v) == "table" and next(v) ~= nil and #v == 0 end,
  numbers = is_numbers,
}

-- What is wrong with an item: a field and what it should be; nil: nothing.
local function problem(item, v)
  if type(v) ~= "table" or #v > 0 then return "an object" end
  if v.none ~= nil and item.name ~= "license" then return not KINDS.text(v.none) and "a reason under none" or nil end
  if next(v) == nil then return "an object that says something" end
  for name, kind in pairs(item.fields) do
    if not KINDS[kind](v[name]) then return ("its field %s as a %s"):format(name, kind) end
  end
  for name, x in pairs(item.each and v or {}) do
    if not KINDS[item.each](x) then return ("its field %s as a list of numbers"):format(name) end
  end
end

function bundle.names()
  local out = {}
  for i, item in ipairs(ITEMS) do out[i] = item.name end
  return out
end

-- The items that are not whole: { { name, what is wanted, the option that supplies it }, ... }.
function bundle.lacks(items)
  local out = {}
  for _, item in ipairs(ITEMS) do
    local v = items[item.name]
    local why = v == nil and "is missing" or problem(item, v)
    if why then out[#out + 1] = { name = item.name, why = v ~= nil and "wants " .. why or why, supply = item.supply } end
  end
  return out
end

-- One sentence about all that is not whole, or nil.
function bundle.refusal(path, items)
  local parts = {}
  for _, l in ipairs(bundle.lacks(items)) do
    parts[#parts + 1] = ("%s %s%s"):format(l.name, l.why, l.supply and (" (%s)"):format(l.supply) or "")
  end
  return #parts > 0 and ("%s: it does not say all that a bundle needs: %s"):format(path, table.concat(parts, ", ")) or nil
end

-- ---- what lies beside a checkpoint -----------------------------------------------------------------------------------

-- The license that a checkpoint states: its own metadata, or the front matter of the model card beside it.
local function license(folder, attrs)
  local own = attrs and attrs["general.license"]
  if type(own) == "string" then return { name = own, from = "general.license" } end
  local card = files.read(folder .. "/README.md")
  local front = card and card:match "^%-%-%-\r?\n(.-)\n%-%-%-"
  local name = front and ("\n" .. front):match "\nlicense:[ \t]*[\"']?([%w][%w._+-]*)"
  return name and { name = name, from = "README.md" } or nil
end

-- What a folder says of its tokenizer, each file a list of one text, as attributes keep it.
local TEXTS = { "tokenizer.json", "tokenizer_config.json", "chat_template.jinja" }

function bundle.texts(folder, more)
  local out = {}
  for _, names in ipairs { TEXTS, more or {} } do
    for _, name in ipairs(names) do
      local text = files.read(folder .. "/" .. name)
      out[name] = text and { text }
    end
  end
  return out
end

-- Attributes of a file as values that can be written again; whole numbers stay whole.
local function plain(v)
  if type(v) ~= "userdata" then return v end
  local is_whole, out, from = false, {}, v
  if v.list then is_whole, from = v.dtype:find "^[iu]" ~= nil, v:list() end
  for i = 1, #from do out[i] = is_whole and math.tointeger(from[i]) or from[i] end
  return out
end

local function words_of(path, all)
  for word, id in pairs(all) do
    if type(word) ~= "string" or math.type(id) ~= "integer" or id < 0 then
      error(("%s: want words with their ids, { \"pick up the cup\": 2 }; \"%s\" has none"):format(path, tostring(word)), 0)
    end
  end
  return all
end

-- A tokenizer as an item, and the attributes that are it, from the file that was given for it: a tokenizer.json, a file of weights
-- that holds one, or a JSON object of words with their ids, { "pick up the cup": 2 }.
local function tokenizer_of(path)
  local name = path:match "[^/]+$"
  if not path:find "%.json$" then
    local file, out = evla.tensors(path), {}
    if not file or not file.attrs["tokenizer.ggml.model"] then
      error(("%s: holds no tokenizer; want a tokenizer.json, a GGUF file with one, or words with their ids in a JSON file"):format(path), 0)
    end
    for key, v in pairs(file.attrs) do
      if key:find "^tokenizer%." then out[key] = plain(v) end
    end
    return { from = name }, out
  end
  local all = json.read(path)
  if not all.model then return { from = name, words = words_of(path, all) }, {} end
  local texts = bundle.texts(path:match "^(.*)/" or ".")
  texts["tokenizer.json"] = { files.read(path) }
  return { from = name }, texts
end

-- Adds to items what lies in a checkpoint's metadata and in its folder, or what was given: the license and the tokenizer, whose
-- attributes it returns.
function bundle.beside(items, folder, attrs, given)
  items.license = license(folder, attrs)
  if given then
    local item, texts = tokenizer_of(given)
    items.tokenizer = item
    return texts
  end
  local texts = bundle.texts(folder)
  if attrs["tokenizer.ggml.model"] then items.tokenizer, texts = { from = "the file of weights" }, {}
  elseif texts["tokenizer.json"] then items.tokenizer = { from = "tokenizer.json" } end
  return texts
end

-- A tokenizer may know no more than the model has rows for.
function bundle.check_words(path, items, attrs)
  local most, n = items.prompt.vocabulary, 0
  local tokens, text = attrs["tokenizer.ggml.tokens"], attrs["tokenizer.json"]
  if items.tokenizer.words then
    for _, id in pairs(items.tokenizer.words) do n = math.max(n, id + 1) end
  elseif tokens then n = #tokens
  elseif text then
    local ok, all = pcall(json.decode, text[1])
    for _, id in pairs(ok and type(all.model) == "table" and type(all.model.vocab) == "table" and all.model.vocab or {}) do
      if math.type(id) == "integer" then n = math.max(n, id + 1) end
    end
  end
  if most and n > most then
    error(("%s: the tokenizer of %s has %d tokens, the model %d rows of words; is it another model's?"):format(path, items.tokenizer.from, n, most), 0)
  end
end

-- ---- writing and reading ---------------------------------------------------------------------------------------------

-- The attributes of a bundle. opens: the function that reads it, "policy" or "see"; kind: its architecture; options: of its model
-- file, without the statistics, which stand once. graphs: "kept" when those of the file are used instead of the model file's.
function bundle.attributes(opens, kind, options, items, graphs)
  local own = {}
  for k, v in pairs(options) do
    if items.statistics[k] == nil then own[k] = v end
  end
  local out = {
    bundle = json.encode({ version = VERSION, opens = opens, kind = kind, graphs = graphs, made_by = "evla " .. evla.version }, false, true),
    ["bundle.options"] = json.encode(own, false, true),
  }
  for _, name in ipairs(bundle.names()) do out["bundle." .. name] = items[name] and json.encode(items[name], false, true) end
  return out
end

-- The same for a policy, evla.policy's or evla.see's, whose file lies in that folder, and the texts of its tokenizer beside them.
-- given: license and tokenizer, where the file does not say.
function bundle.of(p, folder, given, graphs)
  local texts = bundle.beside(p.items, folder, evla.tensors(p.weights).attrs, given.tokenizer)
  if given.license then p.items.license = { name = given.license, from = "--license" } end
  local options = { schedule = p.schedule }
  for k, v in pairs(p.own) do
    if k ~= "beside" and k ~= "tokenizer" then options[k] = v end
  end
  return bundle.attributes(p.opens, p.kind, options, p.items, graphs), texts
end

local function object(path, attrs, name)
  local text = attrs[name]
  local ok, v = pcall(json.decode, type(text) == "string" and text or "")
  if not ok or type(v) ~= "table" then
    error(("%s: its %s is %s; want a JSON object"):format(path, name, text == nil and "missing" or "damaged"), 0)
  end
  return v
end

-- { opens, kind, made_by, options, items } of a file's attributes; nil: it is no bundle.
function bundle.read(path, attrs)
  if attrs.bundle == nil then return nil end
  local b = object(path, attrs, "bundle")
  if b.version ~= VERSION then
    error(("%s: it is a bundle of version %s; this engine knows %d"):format(path, tostring(b.version), VERSION), 0)
  end
  if not KINDS.text(b.opens) or not KINDS.text(b.kind) then error(("%s: its bundle does not say what it is"):format(path), 0) end
  b.options, b.items = object(path, attrs, "bundle.options"), {}
  for _, name in ipairs(bundle.names()) do
    if attrs["bundle." .. name] ~= nil then b.items[name] = object(path, attrs, "bundle." .. name) end
  end
  return b
end

-- A bundle that `opens` reads, whole; its options with the statistics among them.
function bundle.open(path, opens)
  local b = bundle.read(path, evla.attributes(path))
  if not b then error(("%s: it is packed, but no policy; evla.load reads language models"):format(path), 0) end
  if b.opens ~= opens then error(("%s: it is a bundle of %s, which evla.%s reads"):format(path, b.kind, b.opens), 0) end
  local why = bundle.refusal(path, b.items)
  if why then error(why .. "; pack it again", 0) end
  if not b.items.statistics.none then
    for k, v in pairs(b.items.statistics) do b.options[k] = v end
  end
  return b
end

-- ---- bundles that a recipe wrote ---------------------------------------------------------------------------------------

-- Their graphs are kept in them, with the sizes of the calls that were measured. Options that say such sizes, in words, also when they
-- say nothing.
local MEASURED = {
  { "cameras", "%s cameras", "1 camera" }, { "tokens", "texts of %s tokens" },
  { "masked", "any fewer of both, which masks say", "all of both" }, { "sizes", "pictures of %s pixels", "images of the model's own size" },
  { "height", "pictures %s pixels high" }, { "picture_width", "%s pixels wide" }, { "kv", "keys and values in %s" },
}

local function shown(v)
  if type(v) ~= "table" then return v == nil and "not told" or tostring(v) end
  local out = {}
  for i = 1, #v, 2 do out[#out + 1] = v[i + 1] and ("%s x %s"):format(v[i], v[i + 1]) or tostring(v[i]) end
  return table.concat(out, " and ")
end

local function in_words(m, v)
  if v == nil or v == false then return m[3] or m[1] .. " not told" end
  return (m[2]:format(shown(v)):gsub("^1 (%a+)s$", "1 %1"))
end

-- "2 cameras, texts of 12 tokens".
function bundle.measured(options)
  local out = {}
  for _, m in ipairs(MEASURED) do
    if options[m[1]] then out[#out + 1] = in_words(m, options[m[1]]) end
  end
  return table.concat(out, ", ")
end

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b or a == nil and b == false end
  for i = 1, math.max(#a, #b) do if a[i] ~= b[i] then return false end end
  return true
end

-- Refuses to open one with another option than it was measured with. how: what else would do, or nil.
function bundle.check_measured(path, own, name, v, how)
  if same(own[name], v) then return end
  local found, wanted = ("%s %s"):format(name, shown(own[name])), shown(v)
  for _, m in ipairs(MEASURED) do
    if m[1] == name then found, wanted = in_words(m, own[name]), in_words(m, v) end
  end
  error(("%s: a recipe wrote it, so it keeps what it was measured with (%s): %s, not %s; a recipe with such cases makes another%s"):format(path, bundle.measured(own), found, wanted,
    how and ", " .. how or ""), 0)
end

-- ---- what may still be chosen ------------------------------------------------------------------------------------------

-- The number format of a packed file's weights was chosen when it was packed.
function bundle.refuse_type(path, options)
  if options.type then error(("%s: is packed; its type cannot be chosen any more, evla pack MODEL --type %s does"):format(path, options.type), 0) end
end

-- ---- for people ------------------------------------------------------------------------------------------------------

local function some(list)
  local out = {}
  for i = 1, math.min(#list, 8) do out[i] = pretty.number(list[i]) end
  return ("%d number%s: %s%s"):format(#list, #list == 1 and "" or "s", table.concat(out, ", "), #list > 8 and ", ..." or "")
end

local function sorted(t)
  local names = {}
  for k in pairs(t) do names[#names + 1] = k end
  table.sort(names)
  return names
end

local TELL = {}

function TELL.tokenizer(v, attrs)
  if v.words then return ("%d words with their ids, from %s"):format(#sorted(v.words), v.from) end
  local model, tokens = attrs["tokenizer.ggml.model"], attrs["tokenizer.ggml.tokens"]
  return model and tokens and ("%s of %d tokens, from %s"):format(model, #tokens, v.from) or v.from
end

function TELL.pictures(v)
  return ("%s camera%s, %s x %s pixels; fitted: %s%s%s; colours: %s"):format(v.cameras or "?", v.cameras == 1 and "" or "s", v.height, v.width, v.fit,
    v.mode and ", " .. v.mode or "", v.crop and (", the middle %g of its area"):format(v.crop) or "", v.colours)
end

function TELL.prompt(v)
  return ("%s%s%s"):format(pretty.quote(v.template), v.lower and ", in lower case" or "", v.tokens and (", at most %d token%s"):format(v.tokens, v.tokens == 1 and "" or "s") or "")
end

function TELL.noise(v)
  local parts = {}
  for _, name in ipairs(sorted(v.inputs)) do parts[#parts + 1] = ("%s [%s]"):format(name, table.concat(v.inputs[name], ",")) end
  return ("%s, mean %g, spread %g: %s; %s"):format(v.distribution, v.mean or 0, v.spread or 1, table.concat(parts, ", "), v.seed)
end

function TELL.actions(v)
  local parts = {}
  for i = 1, v.names and #v.names or 0 do parts[i] = v.names[i] .. (v.units and " in " .. v.units[i] or "") end
  return ("%d number%s, %d action%s at once, %s; %s"):format(v.count, v.count == 1 and "" or "s", v.horizon, v.horizon == 1 and "" or "s",
    v.rate_hz and ("%g a second"):format(v.rate_hz) or "at a rate that is not told",
    #parts > 0 and table.concat(parts, ", ") or v.data_set and "as in the data set " .. v.data_set or "what they mean is not told")
end

function TELL.license(v) return v.from and ("%s, from %s"):format(v.name, v.from) or v.name end

-- Rows of a table: each item and what it says, or that evla pack wants it.
function bundle.rows(items, attrs)
  local rows, lacks = {}, {}
  for _, l in ipairs(bundle.lacks(items)) do lacks[l.name] = l end
  for _, name in ipairs(bundle.names()) do
    local v, l = items[name], lacks[name]
    if l then rows[#rows + 1] = { name, ("%s%s"):format(l.why, l.supply and ("; evla pack takes " .. l.supply) or "") }
    elseif v.none then rows[#rows + 1] = { name, "none: " .. v.none }
    elseif TELL[name] then rows[#rows + 1] = { name, TELL[name](v, attrs) }
    else
      for i, k in ipairs(sorted(v)) do rows[#rows + 1] = { i == 1 and name or "", k .. ", " .. some(v[k]) } end
    end
  end
  return rows
end

-- The prompt of a text.
function bundle.prompt(item, text)
  if item.lower then text = text:lower() end
  return (item.template:gsub("%%s", function() return text end))
end

return bundle
