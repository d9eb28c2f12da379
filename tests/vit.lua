-- vit.lua: what vit.t asks: for each case the features of one vision transformer, from weights that Python wrote.
local evla = require "evla"
local json = require "evla.json"
local opt = evla.options { cases = { type = "path", doc = "a JSON list" } }
local file <close> = assert(io.open(opt.cases))
local jobs = {}
for _, c in ipairs(json.decode(file:read "a")) do
  local given = c.options
  given.name, given.weights, given.others = c.name .. "_model", c.weights, c.kind == "model" and "leave" or nil
  local m = evla[c.kind](c.model or "vit")(given)
  if c.int8 then
    m = evla.recipe(c.name .. "_int8") { model = m, rules = { { "*", evla.quant.int8 {} } },
                                         accept = { graph = "vision", metric = "output_error", worse_by = "100%", samples = 1 }, calibrate = { samples = 1 }, runs = 1 }
  end
  jobs[#jobs + 1] = evla.apply(c.name) { model = m, graph = "vision", symbols = c.symbols, runs = 1 }
end
return evla.program(jobs)
