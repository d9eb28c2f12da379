-- expect: 2 "wrong_unit.lua:6: stage.hdf5: shard: want a size such as "2GiB", got "two""
-- needs: hdf5
local evla = require "evla"

-- a size without a number
local s = evla.stage.hdf5 { path = "d.hdf5", shard = "two" }
return evla.pipeline "p" { s }
