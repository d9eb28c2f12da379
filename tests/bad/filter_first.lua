-- expect: 2 "filter_first.lua:5: pipeline "p": stage 1 of 2, sanity, cannot stand there: want a source"
-- needs: hdf5 sanity
local evla = require "evla"

return evla.pipeline "p" {
  evla.stage.sanity {}, evla.stage.hdf5 { path = "a.hdf5" } }
