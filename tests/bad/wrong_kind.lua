-- expect: 2 "wrong_kind.lua:4: evla has nothing called "stge"; did you mean "stage"?"
local evla = require "evla"

return evla.pipeline "p" { evla.stge.rollout {} }
