-- mlp.lua: a small policy network, planned, run and measured. The shortest way to see the graph engine at work.
--   evla run pipelines/mlp.lua
--   evla run pipelines/mlp.lua --width 256 --layers 4 --batch 1
local evla = require "evla"

local opt = evla.options {
  width = { type = "int", default = 64, min = 1, max = 65536, doc = "features of a hidden layer" },
  layers = { type = "int", default = 2, min = 0, max = 64, doc = "hidden layers" },
  batch = { type = "int", default = 32, min = 1, doc = "states per run" },
  runs = { type = "int", default = 200, min = 1, max = 1000000, doc = "timed runs" },
  seed = { type = "int", default = 1, doc = "start of all randomness" },
}

local mlp = evla.model "mlp" { layers = opt.layers, width = opt.width, seed = opt.seed }

local run = evla.apply "run" {
  model = mlp, graph = "policy", symbols = { B = opt.batch }, runs = opt.runs, seed = opt.seed, memory = "16MiB",
}

return evla.program { mlp, run }
