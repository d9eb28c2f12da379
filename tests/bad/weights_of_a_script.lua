-- expect: 3 "weights_of_a_script.lua: is no saved model and of no format that is loaded (gguf, npy, safetensors)"
-- needs: ops
-- needs: safetensors
local evla = require "evla"
return evla.program { evla.model "mlp" { layers = 0, weights = "weights_of_a_script.lua" } }
