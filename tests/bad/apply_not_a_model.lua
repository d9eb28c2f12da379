-- expect: 2 "apply_not_a_model.lua:4: apply "run": model: want a job that makes model, got "mlp""
-- needs: ops
local evla = require "evla"
return evla.program { evla.apply "run" { model = "mlp" } }
