-- expect: 2 "export_leaves.lua:5: export "out": path: want a name below the job's folder, got "../policy.safetensors"; --out moves the folder"
-- needs: ops
-- needs: safetensors
local evla = require "evla"
return evla.program { evla.export "out" { model = evla.model "mlp" {}, path = "../policy.safetensors" } }
