-- expect: 2 "accept.worse_by: want a share such as "2%" or an amount such as "0.01", got "two""
-- needs: ops
-- needs: int8
local evla = require "evla"
local m = evla.model "mlp" {}
return evla.program { evla.recipe "small" { model = m, rules = { { "*", evla.quant.int8 {} } }, accept = { graph = "policy", metric = "output_error", worse_by = "two" } } }
