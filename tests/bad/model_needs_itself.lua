-- expect: 2 "models/needs_itself.lua:1: require: the model file "needs_itself" needs itself"
-- needs: ops
local evla = require "evla"
return evla.program { evla.model "needs_itself" {} }
