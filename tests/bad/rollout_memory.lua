-- expect: 2 "memory: 65536 bytes are promised, but the loop needs"
-- needs: mujoco ops
local evla = require "evla"
local reach, m = evla.body.mujoco { scene = "reach" }, evla.model "two_rates" {}
local slow, fast = { graph = "slow", rate = 30, latency = "10ms" }, { graph = "fast", rate = 100 }
return evla.program { m, evla.rollout "eval" { body = reach, model = m, schedule = { slow, fast }, memory = "64KiB" } }
