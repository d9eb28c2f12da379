-- expect: 2 "models/unknown_op.lua:4: graph policy: no op is called "gelo"; did you mean "gelu"?"
-- needs: ops
local evla = require "evla"
return evla.program { evla.model "unknown_op" {} }
