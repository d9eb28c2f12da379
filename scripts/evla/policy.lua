-- policy.lua: evla.policy "FILE": a model that sees, reads and acts, from the file that somebody else's tool wrote.
--   p = evla.policy "mini_vla_libero.safetensors"
--   s = p:session()   s:set("token", 2)   s:run()   s:get "action"
--   evla.call "act" (p:call { files = { image = "image.u8" } })
-- Which architecture it is, its sizes and its statistics are read from the file and what lies beside it; what is missing is
-- refused by name. scripts/evla/policies/NAME.lua knows one architecture each.
local evla = require "evla.core"
local formats = require "evla.formats"

local policy = {}

local object = {}
object.__index = object
object.__name = "evla.policy"
function object:__tostring() return ("%s policy %s"):format(self.kind, self.model.name) end

-- What evla.call and evla.session want to know, with the caller's own words on top.
function object:call(options)
  local all = { model = self.model, schedule = self.schedule }
  for k, v in pairs(options or {}) do all[k] = v end
  return all
end

function object:session(options) return evla.session(self:call(options)) end

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
  local of, list = formats.of(formats.want(kind, "type"), false, "bf16"), {}
  for _, name in ipairs(file.names) do
    local format = not is_exact(name) and of(name, file[name].shape)
    if format and format ~= file[name].dtype then list[#list + 1] = { name, format } end
  end
  return list
end

-- evla.policy(path, options): options are those of models/NAME.lua, name, and type, the number format of its matrices in memory;
-- or a function of what the file says that returns them.
function policy.load(path, options)
  local file = evla.tensors(path)
  if not file then error(("%s: is of no format that is loaded"):format(path), 2) end
  for _, name in ipairs(KINDS) do
    local kind = require("evla.policies." .. name)
    if kind.is(file) then
      local own = kind.options(path, file)
      local given = type(options) == "function" and options(own) or options or {}
      if kind.check then kind.check(path, own, given) end
      local schedule = own.schedule
      if given.type and kind.is_exact then given.formats = rounded(given.type, file, kind.is_exact) end
      own.schedule, given.type = nil, nil
      for k, v in pairs(own) do if given[k] == nil then given[k] = v end end
      given.name = given.name or numbered(path:match "([^/]+)/*$":gsub("%.%a+$", ""):gsub("[^%w_-]", "_"))
      given.weights = path
      return setmetatable({ kind = name, model = evla.checkpoint(name, given), schedule = schedule, given = given }, object)
    end
  end
  error(("%s: its tensors are those of no policy that is known (%s)"):format(path, table.concat(KINDS, ", ")), 2)
end

return policy
