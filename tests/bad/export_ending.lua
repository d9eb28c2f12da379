-- expect: 2 "export_ending.lua:5: export "out": path: no loaded format writes "policy.bin"; want a name that ends in one of: .gguf, .npy, .safetensors"
-- needs: ops
-- needs: safetensors
local evla = require "evla"
return evla.program { evla.export "out" { model = evla.model "mlp" {}, path = "policy.bin" } }
