-- expect: 2 "entry_is_no_job.lua:4: program: entry 1: want a job, got number"
local evla = require "evla"

return evla.program { 3 }
