-- expect: 2 "names.safetensors: it holds no weight head.w (1 of 2), but has head.weight, which no weight is called (1 of 2); is its head.weight meant?"
-- needs: ops
-- needs: safetensors
local evla = require "evla"
return evla.program { evla.model "mlp" { layers = 0, weights = "names.safetensors" } }
