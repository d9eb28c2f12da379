-- expect: 2 "demos: obs/eef_pos is f32[T,3]; want 7 numbers per tick"
-- needs: ops
-- needs: mujoco
-- needs: hdf5
local evla = require "evla"
local arm = evla.body.mujoco { scene = "reach" }
local demos = evla.pipeline "demos" { evla.rollout { body = arm, episodes = 2 }, evla.stage.hdf5 { path = "demos.hdf5" } }
local net = evla.model "learner" { stat = 7 }
return evla.program { evla.train "policy" { model = net, data = demos } }
