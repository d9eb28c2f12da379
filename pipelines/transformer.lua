-- transformer.lua: plan and run the encoder of models/transformer.lua with seeded weights; look at its memory.
--   evla run pipelines/transformer.lua --batch 4 --steps 64
local evla = require "evla"
local opt = evla.options {
  batch = { type = "int", default = 1, min = 1, doc = "sequences per run" },
  steps = { type = "int", default = 32, min = 1, doc = "observations per sequence" },
  layers = { type = "int", default = 4, min = 1, max = 64, doc = "blocks" },
  runs = { type = "int", default = 50, min = 1, max = 1000000, doc = "timed runs" },
}
local model = evla.model "transformer" { layers = opt.layers, seed = 1 }
local run = evla.apply "run" { model = model, graph = "policy", symbols = { B = opt.batch, T = opt.steps }, runs = opt.runs }
return evla.program { model, run }
