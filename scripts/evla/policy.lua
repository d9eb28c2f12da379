-- policy.lua: evla.policy "FILE": a model that sees, reads and acts, from the file that somebody else's tool wrote.
--   p = evla.policy "mini_vla_libero.safetensors"
--   s = p:session()   s:set("token", 2)   s:run()   s:get "action"
--   evla.call "act" (p:call { files = { image = "image.u8" } })
--   p = evla.policy("smolvla.gguf", { pictures = { "front.jpg" }, instruction = "pick it up", state = { 0, 0.1, 0, 0, 0, 0 } })
-- Which architecture it is, its sizes and its statistics are read from the file and what lies beside it; what is missing is
-- refused by name. scripts/evla/policies/NAME.lua knows one architecture each.
local beside = require "evla.beside"
local bundle = require "evla.bundle"
local evla = require "evla.core"
local files = require "evla.files"
local formats = require "evla.formats"

local policy = {}

local object = {}
object.__index = object
object.__name = "evla.policy"
function object:__tostring() return ("%s policy %s"):format(self.kind, self.model.name) end

-- What evla.call wants to know, with the caller's own words on top.
function object:call(options)
  local all = { model = self.model, schedule = self.schedule, pictures = self.pictures, values = self.values }
  for k, v in pairs(options or {}) do all[k] = v end
  return all
end

-- What a robot sees, is told and feels, in the words of evla.policy, becomes inputs of a session.
function object:set(session, raw)
  local words = self.architecture.raw
  if not words then error(("%s: a %s takes its inputs by name: session:set(name, numbers)"):format(self.weights, self.kind), 2) end
  if type(raw) ~= "table" then error(("want a table of %s, got %s"):format(table.concat(words, ", "), type(raw)), 2) end
  local known = {}
  for _, word in ipairs(words) do known[word] = true end
  for word in pairs(raw) do
    if not known[word] then error(("%s: there is no \"%s\" to be told; want %s"):format(self.weights, tostring(word), table.concat(words, ", ")), 2) end
  end
  local pictures, values = self.architecture.inputs(self, raw)
  for name, path in pairs(pictures) do session:set(name, evla.picture(path)) end
  for name, numbers in pairs(values) do session:set(name, numbers) end
  return session
end

-- The same in the hand; what it was loaded with is set already.
function object:session(options)
  local all = { model = self.model, schedule = self.schedule }
  for k, v in pairs(options or {}) do all[k] = v end
  return self.raw and self:set(evla.session(all), self.raw) or evla.session(all)
end

-- The lines of a rollout's schedule in which it answers beside the ticks, in a body that the options `views`, `feels` and `moves`
-- describe. how: of all of them as one call: { latency = "400ms", chunk = "queue", pace = 30, workers = 2 }.
function object:beside(how)
  if (self.given.moves or 0) == 0 then error("a policy acts in a body when its options views, feels and moves say how", 2) end
  return beside(self.schedule, how, true)
end

-- The architectures, most particular first: each says whether a file is its own.
local KINDS = { "smolvla", "mini_vla" }

-- The same file may be loaded more than once; jobs have names of their own.
local loaded = {}
local function numbered(name)
  loaded[name] = (loaded[name] or 0) + 1
  return loaded[name] == 1 and name or ("%s_%d"):format(name, loaded[name])
end

-- { { name, format }, ... } of the matrices that are rounded while they are read; what the architecture wants exact stays.
local function rounded(kind, file, is_exact)
  local of, list = formats.of(formats.want(kind, "type"), false), {}
  for _, name in ipairs(file.names) do
    local format = not is_exact(name) and of(name, file[name].shape)
    if format and format ~= file[name].dtype then list[#list + 1] = { name, format } end
  end
  return list
end

-- What a caller says in words of the robot (kind.raw lists them) is taken out of the model file's options.
local function taken(kind, given)
  local raw
  for _, name in ipairs(kind.raw or {}) do
    if given[name] ~= nil then
      raw = raw or {}
      raw[name], given[name] = given[name], nil
    end
  end
  return raw
end

-- Whose file it is: the architecture's name and module, the file's tensors and its path, which of a folder is that of the weights
-- in it. nil: nobody's, and the file, if it is of any format.
function policy.find(path)
  local weights = path:gsub("/+$", "") .. "/model.safetensors"
  if files.exists(weights) then path = weights end
  local file = evla.tensors(path)
  for _, name in ipairs(file and KINDS or {}) do
    local kind = require("evla.policies." .. name)
    if kind.is(file) then return name, kind, file, path end
  end
  return nil, nil, file, path
end

-- The same for a bundle: name, module, options, items, and whether its graphs are kept in it.
local function unpacked(path)
  local b = bundle.open(path, "policy")
  for _, name in ipairs(KINDS) do
    if name == b.kind then return name, require("evla.policies." .. name), b.options, b.items, b.graphs == "kept" end
  end
  error(("%s: its architecture is %s; want one of %s"):format(path, b.kind, table.concat(KINDS, ", ")), 0)
end

-- What of a file stays exact whatever becomes of its matrices.
local function exact(kind, file)
  local list = {}
  for _, name in ipairs(file and kind.is_exact and file.names or {}) do
    if #file[name].shape == 2 and kind.is_exact(name) then list[#list + 1] = name end
  end
  return list
end

-- What a call's inputs are depends on these; a bundle that a recipe wrote keeps them.
local SIZES = { "cameras", "tokens", "masked", "sizes" }

-- The graphs of a bundle that a recipe wrote stand in it, with the sizes that they were measured with, and show what is inside or
-- do not.
local function kept(path, own, given)
  for k, v in pairs(given) do
    if k ~= "name" and k ~= "inner" then bundle.check_measured(path, own, k, v, (k == "tokens" or k == "cameras") and "one with masks takes fewer, too" or nil) end
  end
  return (evla.packed(path, given.name))
end

-- evla.policy(path, options): a file of weights, a folder around one, or a bundle that evla pack or a recipe wrote. options are those of
-- models/NAME.lua, name, type, the number format of its matrices in memory, what a call gets, where policies/NAME.lua has words for it,
-- and cases, paths of inputs that are known; or a function of what the file says that returns all these. The object then has cases, as evla.recipe takes them, and exact, names of matrices that
-- are better left alone. wanted: the architecture that a program is for, if it is for one.
function policy.load(path, options, wanted)
  if type(path) ~= "string" then error(("want the path of a policy's file, got %s"):format(type(path)), 2) end
  local is_packed, file, weights = path:find "%.evla$" ~= nil, nil, path
  local name, kind, own, items, is_kept
  if is_packed then
    name, kind, own, items, is_kept = unpacked(path)
  else
    name, kind, file, weights = policy.find(path)
    if not name and not file then error(("%s: is of no format that is loaded"):format(path), 2) end
    if not name then error(("%s: its tensors are those of no policy that is known (%s)"):format(path, table.concat(KINDS, ", ")), 2) end
  end
  if wanted and wanted ~= name then error(("%s: it is a policy of the architecture %s; want %s"):format(path, name, wanted), 0) end
  own = own or kind.options(weights, file)
  local schedule, cases = own.schedule, nil
  own.packed, own.schedule = is_packed, nil
  local given = type(options) == "function" and options(own) or options or {}
  own.packed = nil
  local p = setmetatable({ kind = name, architecture = kind, schedule = schedule, given = given, own = own, said = {}, weights = weights, items = items }, object)
  for k, v in pairs(own) do p.said[k] = v end
  p.raw = taken(kind, given)
  if is_packed then bundle.refuse_type(path, given) end
  for _, k in ipairs(is_kept and p.raw and SIZES or {}) do
    if given[k] == nil then given[k] = own[k] end
  end
  if p.raw then p.pictures, p.values = kind.inputs(p, p.raw) end
  given.name = given.name or numbered(path:match "([^/]+)/*$":gsub("%.%a+$", ""):gsub("[^%w_-]", "_"))
  if given.cases then cases, given.cases = kind.cases(given.cases, own, given), nil end
  local model = is_kept and kept(path, own, given)
  if kind.check then kind.check(weights, own, given) end
  if given.type and own.attention and not given.attention then given.attention = given.type == "f32" and "plain" or "bf16" end
  if given.type and kind.is_exact then given.formats = rounded(given.type, file, kind.is_exact) end
  given.type = nil
  for k, v in pairs(own) do if given[k] == nil then given[k] = v end end
  for k in pairs(own) do own[k] = given[k] end
  for _, k in ipairs(SIZES) do own[k] = given[k] end
  given.weights = weights
  p.model, p.items, p.opens = model or evla.checkpoint(name, given), items or kind.about(own, file), "policy"
  p.cases, p.exact = cases, exact(kind, file)
  return p
end

return policy
