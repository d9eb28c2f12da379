-- expect: 2 "recipe_rule_name.lua:6: recipe "small": rules[1].weights: want a text, got a choice"
-- needs: ops
-- needs: int8
local evla = require "evla"
local m = evla.model "mlp" {}
return evla.program { evla.recipe "small" { model = m, rules = { { evla.quant.int8 {} } }, accept = { graph = "policy", metric = "output_error" } } }
