-- expect: 2 "model_option.lua:4: model "mlp": widht: there is no such parameter; did you mean "width"?"
-- needs: ops
local evla = require "evla"
return evla.program { evla.model "mlp" { widht = 3 } }
