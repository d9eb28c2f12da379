-- expect: 2 "want a name of letters, digits, - and _ for its folder, got "../p""
-- needs: mujoco
local evla = require "evla"

return evla.pipeline "../p" { evla.rollout { body = "mujoco" } }
