-- expect: 2 "missing_file.lua:5: stage.hdf5: path: there is no file"
-- needs: hdf5
local evla = require "evla"

return evla.pipeline "p" { evla.stage.hdf5 { path = "nowhere.hdf5" }, evla.stage.hdf5 { path = "out.hdf5" } }
