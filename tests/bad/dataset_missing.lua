-- expect: 2 "there is no file"
-- needs: hdf5
local evla = require "evla"
return evla.program { evla.dataset "mine" { path = "none.hdf5" } }
