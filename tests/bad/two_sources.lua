-- expect: 2 "stage 2 of 3, rollout, cannot stand there: want a filter"
-- needs: mujoco hdf5
local evla = require "evla"

local roll = evla.rollout { body = evla.body.mujoco {}, episodes = 3 }
return evla.pipeline "p" { roll, roll, evla.stage.hdf5 { path = "a.hdf5" } }
