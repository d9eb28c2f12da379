-- expect: 2 "tables nest deeper than 32"
local evla = require "evla"

local t = {}
for _ = 1, 100 do t = { t } end
return evla.pipeline "p" (t)
