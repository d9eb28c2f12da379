-- expect: 2 "missing_parameter.lua:5: stage.hdf5: path: is missing; want path"
-- needs: hdf5
local evla = require "evla"

return evla.pipeline "p" { evla.stage.hdf5 {} }
