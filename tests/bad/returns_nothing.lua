-- expect: 2 "returns_nothing.lua: it returns nothing; want a program at its end: return evla.program { ... }"
local evla = require "evla"

local unused = evla.stage.rollout
