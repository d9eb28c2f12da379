-- checkpoint.lua: what a checkpoint, a folder or a file, says of itself before anything opens it: whose it is, its sizes, and what a bundle
-- of it would say and lack.
local bundle = require "evla.bundle"
local evla = require "evla"
local files = require "evla.files"
local json = require "evla.json"
local language = require "evla.language"
local policy = require "evla.policy"
local seeing = require "evla.seeing"

local checkpoint = {}

-- The file that names a folder's weights; nil: there is none.
local function weights_in(folder)
  for _, name in ipairs { "/model.safetensors", "/model.safetensors.index.json" } do
    if files.exists(folder .. name) then return folder .. name end
  end
end

-- Of statistics of several data sets nobody has chosen one.
local function undecided(folder, given)
  local config = json.read(folder .. "/config.json", true) or {}
  local names = {}
  for name in pairs(type(config.norm_stats) == "table" and config.norm_stats or {}) do names[#names + 1] = name end
  table.sort(names)
  return not given and names[2] and names or nil
end

local function of_seeing(path, given)
  local sets = undecided(path, given.unnorm_key)
  local sizes, weights, kind, items = seeing.read(path, { mmproj = given.mmproj, unnorm_key = sets and sets[1] or given.unnorm_key })
  local out = { architecture = kind, reads = "evla.see", weights = weights, sizes = sizes, items = items, lacks = {} }
  if sets then
    items.statistics, items.actions.data_set = nil, nil
    out.lacks.statistics = ("are of %d data sets; evla pack takes --unnorm_key, one of %s"):format(#sets, table.concat(sets, ", "))
  end
  return out
end

local function of_policy(path)
  local name, kind, file, weights = policy.find(path)
  if not name then return nil end
  local sizes = kind.options(weights, file)
  return { architecture = name, reads = "evla.policy", weights = weights, sizes = sizes, items = kind.about(sizes, file), lacks = {} }
end

-- A language model, which is no bundle; other files of its formats are nobody's.
local function of_language(path, is_folder)
  local weights = is_folder and weights_in(path) or path
  local file = not is_folder and evla.tensors(path)
  local fine, sizes = pcall(is_folder and language.from_folder or language.from_gguf, path, file)
  return fine and { architecture = "llama", reads = "evla.load", weights = weights, sizes = sizes } or nil
end

-- { architecture, reads, weights, sizes, items, lacks }: which function reads it, options of its model file, what a bundle needs (see
-- bundle.lua), and why some of that is not there. nil: it is nobody's; with a sentence: it is somebody's, but not whole.
-- given: unnorm_key and mmproj, as evla.see takes them.
function checkpoint.about(path, is_folder, given)
  path = path:gsub("(.)/+$", "%1")
  local fine, out = pcall(function()
    if seeing.is(path, given) then return of_seeing(path, given) end
    if is_folder and not weights_in(path) then return nil end
    if not is_folder or files.exists(path .. "/model.safetensors") then
      local found = of_policy(path)
      if found then return found end
    end
    return (is_folder or evla.tensors(path).format == "gguf") and of_language(path, is_folder) or nil
  end)
  if not fine then return nil, out end
  if out and out.items then
    out.attrs = evla.tensors(out.weights).attrs
    bundle.beside(out.items, is_folder and path or path:match "^(.*)/" or ".", out.attrs)
  end
  return out
end

-- Where a folder's weights are, or nil.
checkpoint.weights = weights_in

-- "heads 4, hidden 96, ...": what of its sizes is a word or a number.
function checkpoint.sizes(sizes)
  local names, out = {}, {}
  for name, v in pairs(sizes) do
    if type(v) == "number" or v == true or type(v) == "string" and name ~= "tokenizer" and name ~= "beside" then names[#names + 1] = name end
  end
  table.sort(names)
  for i, name in ipairs(names) do out[i] = { name = name, value = sizes[name] } end
  return out
end

return checkpoint
