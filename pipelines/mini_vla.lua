-- mini_vla.lua: a small policy that sees, reads and acts, from its authors' checkpoint.
--   evla run pipelines/mini_vla.lua --model mini_vla_libero.safetensors --cases mini_vla_libero.golden.json
-- A case is { image_u8_hwc, size, token, state, x_T, noise } and maybe the action that is known for it: then the job fails
-- when ours differs by more than --within. Without cases it acts once on nothing, which shows what that takes.
local evla = require "evla"
local json = require "evla.json"
local opt = evla.options {
  model = { type = "path", doc = "a checkpoint of mini-vla, safetensors, or a bundle of one" },
  cases = { type = "path", optional = true, doc = "a JSON file with a list \"cases\"" },
  within = { type = "float", default = 1e-4, min = 0, max = 1e9, doc = "how much an action may differ from the known one" },
  runs = { type = "int", default = 20, min = 1, max = 1000000, doc = "timed calls per case" },
  budget = { type = "size", default = "0", doc = "for weights, arena and what is handed on; 0: no limit" },
}

local function read(path)
  local cases = json.read(path).cases
  if type(cases) ~= "table" then error(("%s: holds no list \"cases\""):format(path), 0) end
  return cases
end

local function flat(list, out)
  out = out or {}
  for _, v in ipairs(list) do
    if type(v) == "table" then flat(v, out) else out[#out + 1] = v end
  end
  return out
end

local jobs, policies = {}, {}
for i, case in ipairs(opt.cases and read(opt.cases) or { {} }) do
  local size = case.size and case.size[1] or 64
  policies[size] = policies[size] or evla.policy(opt.model, { size = size })
  jobs[i] = evla.call("case" .. i)(policies[size]:call {
    runs = opt.runs, memory = opt.budget, within = opt.within, expect = case.action and { action = flat(case.action) },
    values = case.image_u8_hwc and { image = case.image_u8_hwc, token = { case.token }, state = case.state, x = case.x_T, noise = flat(case.noise) },
  })
end
return evla.program(jobs)
