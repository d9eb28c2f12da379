-- expect: 2 "demos has no field obs/joint_pso to feed the input of that name; did you mean "obs/joint_pos"?"
-- needs: ops
-- needs: mujoco
-- needs: hdf5
local evla = require "evla"
local arm = evla.body.mujoco { scene = "reach" }
local demos = evla.pipeline "demos" { evla.rollout { body = arm, episodes = 2 }, evla.stage.hdf5 { path = "demos.hdf5" } }
local net = evla.model "learner" { input = "obs/joint_pso" }
return evla.program { evla.train "policy" { model = net, data = demos } }
