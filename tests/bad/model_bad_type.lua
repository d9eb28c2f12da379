-- expect: 2 "no number format is called "f33""
-- needs: ops
local evla = require "evla"
return evla.program { evla.model "bad_type" {} }
