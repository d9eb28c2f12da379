-- expect: 2 "without: no rewrite of a model is called "fuse"; want quantize or share"
-- needs: ops
-- needs: int8
local evla = require "evla"
local m = evla.model "mlp" {}
return evla.program { evla.recipe "small" { model = m, rules = { { "*", evla.quant.int8 {} } }, without = "fuse", accept = { graph = "policy", metric = "output_error" } } }
