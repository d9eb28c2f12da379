-- expect: 2 "vit: feature is -13; there are 12 layers"
-- needs: ops
local evla = require "evla"
return evla.program { evla.model "vit" { feature = -13 } }
