-- expect: 2 "recipe_step.lua:6: recipe: step: model mlp: no graph is called "slow""
-- needs: ops
-- needs: int8
local evla = require "evla"
local m = evla.model "mlp" {}
return evla.program { evla.recipe "small" { model = m, rules = { { "*", evla.quant.int8 {} } }, step = { "slow" }, accept = { graph = "policy", metric = "output_error" } } }
