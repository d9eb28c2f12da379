-- expect: 2 "options: n: type: there is no type "integer""
local evla = require "evla"

evla.options { n = { type = "integer" } }
