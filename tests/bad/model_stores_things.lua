-- expect: 2 "its function returns number; want a table of graphs"
-- needs: ops
local evla = require "evla"
return evla.program { evla.model "stores_things" {} }
