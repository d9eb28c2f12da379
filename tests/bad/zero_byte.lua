-- expect: 2 "a key holds a zero byte"
local evla = require "evla"

return evla.pipeline "p" { ["a\0b"] = 1 }
