-- expect: 2 "weight 1.w is f32[16,7] in wide; want f32[8,7]"
-- needs: ops
-- needs: mujoco
-- needs: hdf5
local evla = require "evla"
local arm = evla.body.mujoco { scene = "reach" }
local demos = evla.pipeline "demos" { evla.rollout { body = arm, episodes = 2 }, evla.stage.hdf5 { path = "demos.hdf5" } }
local net = evla.model "learner" {  }
return evla.program { evla.train "policy" { model = net, data = demos, init = evla.model "learner" { name = "wide", width = 16 } } }
