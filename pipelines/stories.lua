-- stories.lua: continues a text with a language model from somebody else's file.
--   evla run pipelines/stories.lua --model tinyllama.gguf --prompt "Once upon a time" --tokens 64
-- The model is a GGUF file, or a folder with config.json, tokenizer.json and safetensors. Greedy unless --temperature says so.
local evla = require "evla"
local opt = evla.options {
  model = { type = "path", doc = "a GGUF file, or a folder as Hugging Face keeps them" },
  prompt = { type = "string", default = "Once upon a time", doc = "the text to continue" },
  tokens = { type = "int", default = 128, min = 0, max = 1000000, doc = "how many to add at most; 0: until the context is full" },
  context = { type = "int", default = 512, min = 1, max = 1048576, doc = "most tokens of the whole text" },
  kv = { type = "enum", optional = true, choices = { "f32", "bf16", "f16", "q8_0" }, doc = "number format of keys and values; bf16, or what a packed file has" },
  temperature = { type = "float", default = 0.0, min = 0, max = 100, doc = "0: always the likeliest token" },
  top_k = { type = "int", default = 0, min = 0, max = 1000000, doc = "draw among that many of the likeliest; 0: among all" },
  top_p = { type = "float", default = 1.0, min = 0, max = 1, doc = "draw among the likeliest that together have this probability" },
  seed = { type = "int", default = 1, doc = "of what is drawn by lot" },
  window = { type = "int", default = 0, min = 0, max = 1048576, doc = "go on when the context is full, with so many recent tokens; 0: end there" },
  sinks = { type = "int", default = 4, min = 0, max = 1048576, doc = "and with so many of the first ones" },
  budget = { type = "size", default = "0", doc = "for arena, keys and values; 0: no limit" },
}
local model = evla.load(opt.model, { kv = opt.kv })
local text = evla.generate "text" {
  model = model.model, prompt = opt.prompt, tokens = opt.tokens, context = opt.context, memory = opt.budget,
  cache = opt.window > 0 and evla.cache.window { sinks = opt.sinks, recent = opt.window } or nil,
  loop = evla.loop.generate { temperature = opt.temperature, top_k = opt.top_k, top_p = opt.top_p, seed = opt.seed },
}
return evla.program { text }
