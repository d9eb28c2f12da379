-- expect: 3 "learner.lua: is no HDF5 file"
-- needs: hdf5
local evla = require "evla"
return evla.program { evla.dataset "mine" { path = "models/learner.lua" } }
