-- expect: 2 "function_inside.lua:5: pipeline "p": workers: want plain values, got a function"
local evla = require "evla"

-- what a job is made of must be plain, or its key could not be computed
return evla.pipeline "p" { workers = function() return 2 end }
