-- expect: 2 "stages[1]: want a stage, got the body "mujoco""
-- needs: mujoco
local evla = require "evla"

return evla.pipeline "p" { evla.body.mujoco { scene = "reach" } }
