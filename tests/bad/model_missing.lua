-- expect: 2 "model_missing.lua:4: model: no model is called "mpl""
-- needs: ops
local evla = require "evla"
return evla.program { evla.model "mpl" {} }
