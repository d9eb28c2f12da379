-- expect: 2 "not_a_table.lua:5: stage.hdf5: want a table of parameters, got string; write stage.hdf5 { ... }"
-- needs: hdf5
local evla = require "evla"

return evla.pipeline "p" { evla.stage.hdf5 "d.hdf5" }
