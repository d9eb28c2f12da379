-- expect: 2 "body.mujoco: cameras[1].rte: there is no such parameter; did you mean "rate"?"
-- needs: mujoco
local evla = require "evla"

local body = evla.body.mujoco { cameras = { { name = "front", rte = 30 } } }
return evla.pipeline "p" { evla.rollout { body = body } }
