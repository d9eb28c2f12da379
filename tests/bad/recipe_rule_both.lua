-- expect: 2 "rules[1] ("*"): want a quantiser or keep = "f32", not both"
-- needs: ops
-- needs: int8
local evla = require "evla"
local m = evla.model "mlp" {}
return evla.program { evla.recipe "small" { model = m, rules = { { "*", evla.quant.int8 {}, keep = "f32" } }, accept = { graph = "policy", metric = "output_error" } } }
