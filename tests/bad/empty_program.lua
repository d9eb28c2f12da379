-- expect: 2 "empty_program.lua: its program holds no job"
local evla = require "evla"

return evla.program {}
