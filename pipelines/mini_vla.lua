-- mini_vla.lua: a small policy that sees, reads and acts, from its authors' checkpoint.
--   evla run pipelines/mini_vla.lua --model mini_vla_libero.safetensors --cases mini_vla_libero.golden.json
-- A case is { image_u8_hwc, size, token, state, x_T, noise }, token being one word or a list of them, and maybe the action that is known for it: then the job fails
-- when ours differs by more than --within. Without cases it acts once on nothing, which shows what that takes.
local evla = require "evla"
local mini_vla = require "evla.policies.mini_vla"
local opt = evla.options {
  model = { type = "path", doc = "a checkpoint of mini-vla, safetensors, or a bundle of one" },
  cases = { type = "path", optional = true, doc = "a JSON file with a list \"cases\"" },
  within = { type = "float", default = 1e-4, min = 0, max = 1e9, doc = "how much an action may differ from the known one" },
  runs = { type = "int", default = 20, min = 1, max = 1000000, doc = "timed calls per case" },
  budget = { type = "size", default = "0", doc = "for weights, arena and what is handed on; 0: no limit" },
}

local jobs, policies = {}, {}
for i, case in ipairs(opt.cases and mini_vla.read(opt.cases) or { { size = 64, tokens = 1 } }) do
  local kind = ("%d %d"):format(case.size, case.tokens)
  policies[kind] = policies[kind] or evla.policy(opt.model, { size = case.size, tokens = case.tokens }, "mini_vla")
  jobs[i] = evla.call("case" .. i)(policies[kind]:call {
    runs = opt.runs, memory = opt.budget, within = opt.within, expect = case.action and { action = case.action }, values = case.values,
  })
end
return evla.program(jobs)
