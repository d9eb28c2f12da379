-- expect: 2 "quant.int8: activations: want one of per_token|per_tensor, got "per_row""
-- needs: ops
-- needs: int8
local evla = require "evla"
local m = evla.model "mlp" {}
return evla.program { evla.recipe "small" { model = m, rules = { { "*", evla.quant.int8 { activations = "per_row" } } }, accept = { graph = "policy", metric = "output_error" } } }
