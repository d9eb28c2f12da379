-- expect: 2 "graph blind: nothing feeds input obs/joint_angles: it is no channel of the body, no output of an earlier graph, and not "instruction""
-- needs: mujoco ops
local evla = require "evla"
local reach, m = evla.body.mujoco { scene = "reach" }, evla.model "two_rates" {}
local slow, fast = { graph = "slow", rate = 30, latency = "10ms" }, { graph = "fast", rate = 100 }
return evla.program { m, evla.rollout "eval" { body = reach, model = m, schedule = { { graph = "blind" } } } }
