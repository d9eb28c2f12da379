-- expect: 2 "shard: want 65536 to 1e+15 bytes, got 1"
-- needs: hdf5
local evla = require "evla"

local sink = evla.stage.hdf5 { path = "a.hdf5", shard = 1 }
return evla.pipeline "p" { sink }
