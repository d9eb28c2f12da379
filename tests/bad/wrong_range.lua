-- expect: 2 "wrong_range.lua:6: stage.hdf5: valid: want 0 to"
-- needs: hdf5
local evla = require "evla"

-- a share of more than everything
local s = evla.stage.hdf5 { path = "d.hdf5", valid = 1.5 }
return evla.pipeline "p" { s }
