-- expect: 2 "models/loops.lua:1: still declaring after 1 s"
-- args: --deadline 1s
-- needs: ops
local evla = require "evla"
return evla.program { evla.model "loops" {} }
