-- expect: 2 "graph policy: has no output and writes no state"
-- needs: ops
local evla = require "evla"
return evla.program { evla.model "no_output" {} }
