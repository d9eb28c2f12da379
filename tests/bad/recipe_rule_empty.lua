-- expect: 2 "recipe "small": rules[2] ("*"): want a quantiser, or keep"
-- needs: ops
-- needs: int8
local evla = require "evla"
local m = evla.model "mlp" {}
return evla.program { evla.recipe "small" { model = m, rules = { { "head.*", keep = "f32" }, { "*" } }, accept = { graph = "policy", metric = "output_error" } } }
