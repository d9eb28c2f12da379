-- expect: 2 "wrong_key.lua:5: stage.rollout: epsiodes: there is no such parameter; did you mean "episodes"?"
local evla = require "evla"

-- a parameter that does not exist, one slip away from one that does
return evla.pipeline "p" { evla.rollout { body = "none", epsiodes = 3 } }
