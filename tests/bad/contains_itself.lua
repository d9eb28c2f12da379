-- expect: 2 "contains_itself.lua:6: pipeline "p"[1].again: this table contains itself"
local evla = require "evla"

local t = {}
t.again = t
return evla.pipeline "p" { t }
