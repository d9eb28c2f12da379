-- expect: 2 "apply_graph.lua:5: model mlp: no graph is called "polic"; did you mean "policy"?"
-- needs: ops
local evla = require "evla"
local m = evla.model "mlp" {}
return evla.program { m, evla.apply "run" { model = m, graph = "polic" } }
