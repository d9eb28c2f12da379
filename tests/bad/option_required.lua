-- expect: 2 "options: model: is missing; want path: a model (give it with --model)"
local evla = require "evla"

evla.options { model = { type = "path", doc = "a model" } }
