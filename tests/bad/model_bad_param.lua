-- expect: 2 "models/bad_param.lua:4: policy/linear.0: outt: there is no such parameter; did you mean "out"?"
-- needs: ops
local evla = require "evla"
return evla.program { evla.model "bad_param" {} }
