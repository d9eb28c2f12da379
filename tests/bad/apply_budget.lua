-- expect: 2 "the budget is 65536; at the peak, step 2 of 2 (policy/relu.2), 3 regions are alive: x f32[1,1048576] (4194304)"
-- needs: ops
local evla = require "evla"
local m = evla.model "wide" {}
return evla.program { m, evla.apply "run" { model = m, memory = "64KiB" } }
