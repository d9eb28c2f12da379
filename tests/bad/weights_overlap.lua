-- expect: 3 "overlap.safetensors: tensor head.b: its data starts at byte 224, inside that of head.w, which ends at 252"
-- needs: ops
-- needs: safetensors
local evla = require "evla"
return evla.program { evla.model "mlp" { layers = 0, weights = "overlap.safetensors" } }
