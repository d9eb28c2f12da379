-- expect: 2 "wrong_item.lua:5: evla.stage: no stage is called "hdf6"; did you mean "hdf5"?"
-- needs: hdf5
local evla = require "evla"

return evla.pipeline "p" { evla.stage.hdf6 { path = "d.hdf5" } }
