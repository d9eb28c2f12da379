-- expect: 2 "models/no_graph.lua: it declares no graph"
-- needs: ops
local evla = require "evla"
return evla.program { evla.model "no_graph" {} }
