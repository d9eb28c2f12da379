-- expect: 2 "stage.rollout: body: is missing; want body: what acts"
local evla = require "evla"

return evla.pipeline "p" { evla.rollout { episodes = 3 } }
