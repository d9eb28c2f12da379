-- expect: 2 "vit: image is 225; want a multiple of patch, 16"
-- needs: ops
local evla = require "evla"
return evla.program { evla.model "vit" { image = 225 } }
