-- guard.lua: what the guard is worth. The same episodes with and without it, the policy disturbed: noise on its actions,
-- a thing on the table moved in half of the episodes, readings that stop coming. Who counts is the body's monitor.
--   evla run pipelines/guard.lua
--   evla run pipelines/guard.lua --episodes 3000 --noise 0.03
--   evla run pipelines/guard.lua --policy out/coffee/policy4/policy4.evla --noise 0 --shift 0 --stall 0
local evla = require "evla"

local opt = evla.options {
  policy = { type = "path", optional = true, doc = "weights of a coffee_policy that drives; without: the teacher" },
  episodes = { type = "int", default = 300, min = 1, doc = "episodes of each arm" },
  seed = { type = "int", default = 90001, doc = "start of all randomness" },
  noise = { type = "float", default = 0.02, min = 0, max = 1, doc = "standard deviation of noise added to actions" },
  shift = { type = "float", default = 0.5, min = 0, max = 1, doc = "share of episodes in which a thing is moved by 3 cm" },
  stall = { type = "float", default = 0.2, min = 0, max = 1, doc = "probability in each second that readings stop coming" },
}

local coffee = evla.body.mujoco {
  scene = "coffee", rate = 100,
  -- half of the usual step: at 5 ms two boxes may lose each other for a step, and a grip jumps as if it had been hit
  step = "2.5ms",
  disturb = { shift_chance = opt.shift, stall_chance = opt.stall },
}

local model = opt.policy and evla.model "coffee_policy" { weights = opt.policy }
local schedule = { { graph = "slow", rate = 30, latency = "10ms" }, { graph = "fast", rate = 100 } }

local function arm(name, guard)
  local how = { body = coffee, noise = opt.noise, episodes = opt.episodes, seed = opt.seed, guard = guard }
  if model then
    how.model, how.schedule = model, schedule
  else
    how.policy = "expert"
  end
  return evla.rollout(name)(how)
end

local unguarded = arm("unguarded")
local guarded = arm("guarded", evla.scene.causal { rules = "coffee" })
local jobs = { unguarded, guarded, evla.report {} }
if model then table.insert(jobs, 1, model) end

return evla.program(jobs)
