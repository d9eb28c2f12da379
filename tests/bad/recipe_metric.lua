-- expect: 2 "accept: graph policy has no output "loss"; its first is "action""
-- needs: ops
-- needs: int8
local evla = require "evla"
local m = evla.model "mlp" {}
return evla.program { evla.recipe "small" { model = m, rules = { { "*", evla.quant.int8 {} } }, accept = { graph = "policy" } } }
