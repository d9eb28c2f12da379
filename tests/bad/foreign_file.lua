-- expect: 3 "foreign_file.lua"
-- needs: hdf5
local evla = require "evla"

-- a file that is there, and is something else
return evla.pipeline "p" { evla.stage.hdf5 { path = "foreign_file.lua" }, evla.stage.hdf5 { path = "out.hdf5" } }
