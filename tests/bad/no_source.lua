-- expect: 2 "stage 1 of 1, sanity, cannot stand there: want a source"
-- needs: sanity
local evla = require "evla"

return evla.pipeline "p" { evla.stage.sanity { reject = { "timeout" } } }
