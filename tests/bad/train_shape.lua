-- expect: 2 "demos: a row of obs/eef_pos is f32[3], but the input wants f32[7]"
-- needs: ops
-- needs: mujoco
-- needs: hdf5
local evla = require "evla"
local arm = evla.body.mujoco { scene = "reach" }
local demos = evla.pipeline "demos" { evla.rollout { body = arm, episodes = 2 }, evla.stage.hdf5 { path = "demos.hdf5" } }
local net = evla.model "learner" { input = "obs/eef_pos" }
return evla.program { evla.train "policy" { model = net, data = demos } }
