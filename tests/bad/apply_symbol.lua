-- expect: 2 "apply_symbol.lua:5: graph policy: the symbol B has no extent"
-- needs: ops
local evla = require "evla"
local m = evla.model "mlp" {}
return evla.program { m, evla.apply "run" { model = m, symbols = { C = 3 } } }
