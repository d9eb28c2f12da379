-- expect: 2 "stage 2 of 3, hdf5, cannot stand there: want a filter"
-- needs: mujoco hdf5
local evla = require "evla"

local sink = evla.stage.hdf5 { path = "a.hdf5" }
return evla.pipeline "p" { evla.rollout { body = evla.body.mujoco {}, episodes = 3 }, sink, sink }
