-- expect: 2 "export_an_apply.lua:6: export "out": model: want a job that makes model, got run, which makes tensors"
-- needs: ops
-- needs: safetensors
local evla = require "evla"
local m = evla.model "mlp" {}
return evla.program { evla.export "out" { model = evla.apply "run" { model = m }, path = "p.safetensors" } }
