-- expect: 2 "rules[1].quant: want a quant, got the stage "sanity""
-- needs: ops
-- needs: int8
-- needs: sanity
local evla = require "evla"
local m = evla.model "mlp" {}
return evla.program { evla.recipe "small" { model = m, rules = { { "*", evla.stage.sanity {} } }, accept = { graph = "policy", metric = "output_error" } } }
