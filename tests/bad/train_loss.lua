-- expect: 2 "loss"
-- needs: ops
-- needs: mujoco
-- needs: hdf5
local evla = require "evla"
local arm = evla.body.mujoco { scene = "reach" }
local demos = evla.pipeline "demos" { evla.rollout { body = arm, episodes = 2 }, evla.stage.hdf5 { path = "demos.hdf5" } }
local net = evla.model "learner" { loss = "none" }
return evla.program { evla.train "policy" { model = net, data = demos } }
