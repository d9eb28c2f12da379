-- expect: 2 "no_name.lua:4: evla.pipeline: want a name, such as evla.pipeline "mine" { ... }, got table"
local evla = require "evla"

return evla.pipeline { evla.stage.rollout }
