-- expect: 2 "wrong_type.lua:6: stage.sanity: reject: want a list, got "timeout""
-- needs: sanity
local evla = require "evla"

local s =
  evla.stage.sanity { reject = "timeout" }
return evla.pipeline "p" { s }
