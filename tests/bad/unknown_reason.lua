-- expect: 2 "no reason is called "self_colision"; did you mean "self_collision"?"
-- needs: mujoco sanity
local evla = require "evla"

local roll = evla.rollout { body = evla.body.mujoco {}, episodes = 3 }
return evla.pipeline "p" { roll, evla.stage.sanity { reject = { "self_colision" } } }
