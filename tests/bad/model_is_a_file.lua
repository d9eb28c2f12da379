-- expect: 2 "model_is_a_file.lua:4: apply "run": model: want a job that makes model, got the file "mlp.evla"; evla.model "its name" { weights = "mlp.evla" } is one"
-- needs: ops
local evla = require "evla"
return evla.program { evla.apply "run" { model = "mlp.evla" } }
