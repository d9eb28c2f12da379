-- vit.lua: what vit.py measures: ViT-S/16 as its weights are, in bf16, and in codes of eight bits. In these two attention's
-- products are of bf16.
local evla = require "evla"
local opt = evla.options {
  weights = { type = "path", doc = "in f32" },
  half = { type = "path", doc = "the same in bf16" },
  runs = { type = "int", default = 30, min = 1, doc = "timed runs of each" },
  seed = { type = "int", default = 1, doc = "of the pixels" },
}
local function small(kind, name, weights, attention)
  return evla[kind] "vit" { name = name, attention = attention, weights = weights, width = 384, heads = 6, hidden = 1536, classes = 1000, names = "timm" }
end
local function timed(name, model)
  return evla.apply(name) { model = model, graph = "vision", symbols = { N = 1 }, runs = opt.runs, seed = opt.seed }
end
local codes = evla.recipe "codes" {
  model = small("model", "whole", opt.weights, "bf16"), rules = { { "*", evla.quant.int8 {} } },
  accept = { graph = "vision", metric = "output_error", worse_by = "100%", samples = 1 }, calibrate = { samples = 1 }, runs = 1,
}
return evla.program {
  timed("f32", small("checkpoint", "plain", opt.weights)), timed("bf16", small("checkpoint", "half", opt.half, "bf16")), timed("int8", codes),
}
