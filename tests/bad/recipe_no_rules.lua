-- expect: 2 "recipe "small": rules: none is given; want at least one"
-- needs: ops
-- needs: int8
local evla = require "evla"
local m = evla.model "mlp" {}
return evla.program { evla.recipe "small" { model = m, rules = {}, accept = { graph = "policy", metric = "output_error" } } }
