-- expect: 2 "models/two_inputs.lua:4: graph policy: the name "x" is taken by an input declared at models/two_inputs.lua:3"
-- needs: ops
local evla = require "evla"
return evla.program { evla.model "two_inputs" {} }
