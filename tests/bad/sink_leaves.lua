-- expect: 2 "sink_leaves.lua:6: stage.hdf5: path: want a name below the job's folder, got "../../escaped.hdf5"; --out moves the folder"
-- needs: hdf5
-- needs: mujoco
local evla = require "evla"
local reach = evla.body.mujoco { scene = "reach" }
return evla.program { evla.pipeline "demos" { evla.rollout { body = reach, episodes = 1 }, evla.stage.hdf5 { path = "../../escaped.hdf5" } } }
