-- expect: 2 "input "action" of the body is f32[8], but the graph's output is f32[1,7]"
-- needs: mujoco ops
local evla = require "evla"
local reach, m = evla.body.mujoco { scene = "reach" }, evla.model "two_rates" {}
local slow, fast = { graph = "slow", rate = 30, latency = "10ms" }, { graph = "fast", rate = 100 }
return evla.program { m, evla.rollout "eval" { body = reach, model = m, schedule = { { graph = "small" } } } }
