-- expect: 2 "accept: model mlp: no graph is called "polcy"; did you mean "policy"?"
-- needs: ops
-- needs: int8
local evla = require "evla"
local m = evla.model "mlp" {}
return evla.program { evla.recipe "small" { model = m, rules = { { "*", evla.quant.int8 {} } }, accept = { graph = "polcy", metric = "output_error" } } }
