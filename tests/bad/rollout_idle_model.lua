-- expect: 2 "stage.rollout: model: is given, but another policy acts; want policy = "model""
-- needs: mujoco ops
local evla = require "evla"
local reach, m = evla.body.mujoco { scene = "reach" }, evla.model "two_rates" {}
local slow, fast = { graph = "slow", rate = 30, latency = "10ms" }, { graph = "fast", rate = 100 }
return evla.program { m, evla.pipeline "p" { evla.rollout { body = reach, model = m, schedule = { slow, fast } } } }
