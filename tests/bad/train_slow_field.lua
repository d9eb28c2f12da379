-- expect: 2 "want one row per tick, [T,...], so sample it at every tick"
-- needs: ops
-- needs: mujoco
-- needs: hdf5
local evla = require "evla"
local arm = evla.body.mujoco { scene = "reach", cameras = { { name = "front", size = { 8, 8 } } } }
local demos = evla.pipeline "demos" { evla.rollout { body = arm, episodes = 2 }, evla.stage.hdf5 { path = "demos.hdf5" } }
local net = evla.model "learner" { input = "cameras/front/rgb", shape = "[B,8,8,3]" }
return evla.program { evla.train "policy" { model = net, data = demos } }
