-- expect: 2 "instructions: to shuffle them takes at least 2 episodes"
-- needs: mujoco ops
local evla = require "evla"
local reach, m = evla.body.mujoco { scene = "reach" }, evla.model "two_rates" {}
local slow, fast = { graph = "slow", rate = 30, latency = "10ms" }, { graph = "fast", rate = 100 }
return evla.program { m, evla.rollout "eval" { body = reach, policy = "expert", instructions = "shuffled", episodes = 1 } }
