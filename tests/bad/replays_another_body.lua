-- expect: 2 "stage.replay: body: "
-- needs: mujoco replay
local evla = require "evla"

local coffee, reach = evla.body.mujoco { scene = "coffee" }, evla.body.mujoco { scene = "reach" }
return evla.pipeline "p" { evla.rollout { body = coffee, episodes = 3 }, evla.stage.replay { body = reach } }
