-- expect: 2 "model_option_range.lua:4: model "mlp": width: want 1 to 65536, got 0"
-- needs: ops
local evla = require "evla"
return evla.program { evla.model "mlp" { width = 0 } }
