-- expect: 2 "got the key 3"
local evla = require "evla"

return evla.pipeline "p" { [3] = evla.stage.rollout, workers = 2 }
