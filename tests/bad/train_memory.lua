-- expect: 2 "the budget is 1024"
-- needs: ops
-- needs: mujoco
-- needs: hdf5
local evla = require "evla"
local arm = evla.body.mujoco { scene = "reach" }
local demos = evla.pipeline "demos" { evla.rollout { body = arm, episodes = 2 }, evla.stage.hdf5 { path = "demos.hdf5" } }
local net = evla.model "learner" {  }
return evla.program { evla.train "policy" { model = net, data = demos, memory = "1KiB" } }
