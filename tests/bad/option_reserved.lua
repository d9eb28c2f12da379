-- expect: 2 "options: out: --out is the engine's own; choose another name"
local evla = require "evla"

evla.options { out = { type = "path", doc = "mine" } }
