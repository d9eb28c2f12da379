-- expect: 2 "recipe "small": model: want a job that makes model"
-- needs: ops
-- needs: int8
local evla = require "evla"
local m = evla.model "mlp" {}
return evla.program { evla.recipe "small" { model = evla.quant.int8 {}, rules = { { "*", evla.quant.int8 {} } }, accept = { graph = "policy", metric = "output_error" } } }
