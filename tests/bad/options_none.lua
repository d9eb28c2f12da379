-- expect: 2 "options_none.lua: it declares no options, so it has no --speed"
-- args: --speed 3
-- needs: mujoco
local evla = require "evla"

return evla.program { evla.pipeline "p" { evla.rollout { body = "mujoco" } } }
