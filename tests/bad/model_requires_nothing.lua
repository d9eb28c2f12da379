-- expect: 2 "models/requires_nothing.lua:1: model: no model is called "nobody""
-- needs: ops
local evla = require "evla"
return evla.program { evla.model "requires_nothing" {} }
