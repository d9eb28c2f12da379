-- pack.lua: evla pack MODEL [--type q4_0] [-o FILE.evla] [--kv bf16]: graphs, tokenizer and weights in one file, the weights as
-- this machine's kernels read them, so that loading is mapping. With -o FILE.gguf: a GGUF file with its weights in another format.
-- A policy becomes a bundle, see bundle.lua; what it does not say is given: --license, --tokenizer, --cameras, --rate, --names, --units.
local call = ...
local bundle = require "evla.bundle"
local evla = require "evla"
local formats = require "evla.formats"
local policy = require "evla.policy"
local seeing = require "evla.seeing"

local function wrong(format, ...)
  io.stderr:write("evla: pack: " .. format:format(...) .. "\n")
  return 2
end

-- "matrices: 145 as q4_k; 24 as q5_0, since blk.0.attn_q.weight has rows of 960, no multiple of 256"
local function told(kind, counts)
  local out, names = {}, {}
  for name in pairs(counts) do names[#names + 1] = name end
  table.sort(names, function(a, b) return a == kind or b ~= kind and a < b end)
  for _, name in ipairs(names) do
    local c = counts[name]
    out[#out + 1] = ("%d as %s%s"):format(c.n, name, c.why and name ~= kind and ", since " .. c.why or "")
  end
  return "matrices: " .. table.concat(out, "; ")
end

-- Options that only a policy has.
local OF_POLICIES = { license = true, tokenizer = true, cameras = true, rate = true, names = true, units = true, mmproj = true, unnorm_key = true, vicuna = true }
for name, v in pairs(call.options) do
  if name ~= "o" and name ~= "kv" and name ~= "type" and name ~= "plain" and not OF_POLICIES[name] then
    return wrong("there is no --%s; evla pack MODEL --type q4_0 -o FILE.evla --kv bf16, and of a policy %s", name, "--license, --tokenizer, --cameras, --rate, --names, --units")
  end
  if v == true and name ~= "plain" and name ~= "vicuna" then return wrong("--%s: what is it to be?", name) end
end
if call.words[1] then return wrong("one model at a time, got also \"%s\"", call.words[1]) end
local function full(path) return path:sub(1, 1) == "/" and path or call.here .. "/" .. path end
local from, kind = full(call.file), call.options.type
if kind and not formats.file_type(kind) then
  return wrong("--type: want one of %s, got \"%s\"", table.concat(formats.kinds(), ", "), kind)
end
if from:find "%.evla$" then return wrong("%s is packed already; want the model that it was made from", call.file) end
local is_folder = call.exists(from) == "folder"
local to = full(call.options.o or call.file:gsub("/+$", ""):gsub("%.gguf$", "") .. ".evla")
local is_gguf = to:find "%.gguf$"
if not is_gguf and not to:find "%.evla$" then return wrong("-o: want a name that ends in .evla or .gguf, got \"%s\"", call.options.o) end
if is_gguf and is_folder then
  return wrong("%s is a folder, whose weights and tokenizer have other names in a GGUF file; want -o FILE.evla, or a GGUF file to start from", call.file)
end
if is_gguf and call.options.kv then return wrong("--kv: a GGUF file does not say how keys and values are kept; want -o FILE.evla with it") end

-- ---- policies --------------------------------------------------------------------------------------------------------

local function list(text)
  local out = {}
  for word in (text or ""):gmatch "[^,]+" do out[#out + 1] = word:match "^%s*(.-)%s*$" end
  return #out > 0 and out or nil
end

-- What the command line says of actions, on top of what the checkpoint does.
local function acting(actions)
  local o, rate = call.options, tonumber(call.options.rate)
  if o.rate and not (rate and rate > 0 and rate < 1e6) then error(("--rate: want actions a second, got \"%s\""):format(o.rate), 0) end
  actions.rate_hz = rate or actions.rate_hz
  for _, what in ipairs { "names", "units" } do
    local given = list(o[what])
    if given and #given ~= actions.count then error(("--%s: got %d for the %s numbers of an action"):format(what, #given, actions.count or "no"), 0) end
    actions[what] = given or actions[what]
  end
end

-- Writes a policy as a bundle. lay: plans its graphs, which lays its weights out.
local function write(p, lay)
  local o, folder = call.options, is_folder and from or from:match "^(.*)/" or "."
  acting(p.items.actions)
  local all, texts = bundle.of(p, folder, { tokenizer = o.tokenizer and full(o.tokenizer), license = o.license })
  local why = bundle.refusal(from, p.items)
  if why then error(why, 0) end
  bundle.check_words(from, p.items, texts)
  if not o.plain then lay() end
  for k, v in pairs(texts) do all[k] = v end
  evla.pack(p.model, to, all)
  return 0
end

local function whole(text, name)
  local n = text and math.tointeger(tonumber(text))
  if text and not (n and n >= 1) then error(("--%s: want a whole number, got \"%s\""):format(name, text), 0) end
  return n
end

local function pack_policy()
  local p = evla.policy(from, { cameras = whole(call.options.cameras, "cameras"), type = kind })
  return write(p, function() p:session():close() end)
end

local function pack_seeing()
  local o = call.options
  local m = evla.see(from, { mmproj = o.mmproj and full(o.mmproj), unnorm_key = o.unnorm_key, vicuna = o.vicuna, type = kind, kv = o.kv })
  m.own.kv = o.kv
  return write(m, function()
    local others = { "image", "vision", m.own.low and "action" or nil }
    evla.text { model = m.model, context = 64, others = others, symbols = { { "H", m.own.image }, { "W", m.own.image } } }:close()
  end)
end

local function pack_language()
  for name in pairs(call.options) do
    if OF_POLICIES[name] then return wrong("--%s: is said of policies; %s is none that is known", name, call.file) end
  end
  local fine, m = pcall(evla.load, from, { kv = call.options.kv, context = 64, type = kind, whole = is_gguf and "f16" or nil })
  if not fine then error(m, 0) end -- no script of a user's was wrong
  if not is_gguf and not call.options.plain then m:text() end -- plans, which settles how the weights lie, and lays them so
  evla.pack(m.model, to, is_folder and bundle.texts(from, { "config.json" }) or
    kind and { ["general.file_type"] = formats.file_type(kind), ["general.quantization_version"] = 2 })
  if not call.quiet and m.formats then print(told(kind, m.formats)) end
  return 0
end

local is_seeing = seeing.is(from, call.options)
local is_policy = not is_seeing and policy.find(from) ~= nil
if is_gguf and (is_policy or is_seeing) then return wrong("%s is a policy, which is packed as a bundle; want -o FILE.evla", call.file) end
local code = (is_seeing and pack_seeing or is_policy and pack_policy or pack_language)()
if code == 0 and not call.quiet then print(to) end
return code
