-- connectors.lua: what connectors.t asks: for each case what a connector makes of evla.apply's random features.
local evla = require "evla"
local json = require "evla.json"
local opt = evla.options { cases = { type = "path", doc = "a JSON list" } }
local file <close> = assert(io.open(opt.cases))
local jobs = {}
for _, c in ipairs(json.decode(file:read "a")) do
  local given = c.options
  given.name, given.weights = c.name .. "_model", c.weights
  jobs[#jobs + 1] = evla.apply(c.name) { model = evla.model "connectors" (given), symbols = { B = c.batch }, runs = 1 }
end
return evla.program(jobs)
