-- expect: 2 "stage.hdf5: compress: want one of none|gzip, got "gzp"; did you mean "gzip"?"
-- needs: hdf5
local evla = require "evla"

return evla.pipeline "p" { evla.stage.hdf5 { path = "d.hdf5", compress = "gzp" } }
