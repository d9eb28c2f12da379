-- expect: 2 "models/meets_not.lua:5: policy/add.0: add: a f32[1,9] and b f32[1,7] do not broadcast"
-- needs: ops
local evla = require "evla"
return evla.program { evla.model "meets_not" {} }
