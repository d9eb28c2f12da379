-- chat.lua: one question to a language model that was trained to answer, in the form that it was trained on.
--   evla run pipelines/chat.lua --model tinyllama-chat.gguf --ask "Why is the sky blue?"
-- For a conversation: evla repl, then m = evla.load "tinyllama-chat.gguf"; m:chat "Hello".
local evla = require "evla"
local opt = evla.options {
  model = { type = "path", doc = "a GGUF file, or a folder as Hugging Face keeps them" },
  ask = { type = "string", doc = "what to ask" },
  system = { type = "string", default = "", doc = "how to answer" },
  tokens = { type = "int", default = 256, min = 0, max = 1000000, doc = "of the answer at most; 0: until the context is full" },
  context = { type = "int", default = 2048, min = 1, max = 1048576, doc = "most tokens of question and answer" },
  kv = { type = "enum", optional = true, choices = { "f32", "bf16", "f16", "q8_0" }, doc = "number format of keys and values; bf16, or what a packed file has" },
  temperature = { type = "float", default = 0.0, min = 0, max = 100, doc = "0: always the likeliest token" },
  top_p = { type = "float", default = 0.95, min = 0, max = 1, doc = "draw among the likeliest that together have this probability" },
  seed = { type = "int", default = 1, doc = "of what is drawn by lot" },
  window = { type = "int", default = 0, min = 0, max = 1048576, doc = "go on when the context is full, with so many recent tokens; 0: end there" },
  sinks = { type = "int", default = 4, min = 0, max = 1048576, doc = "and with so many of the first ones" },
  budget = { type = "size", default = "0", doc = "for arena, keys and values; 0: no limit" },
}
local messages = { { role = "user", text = opt.ask } }
if opt.system ~= "" then table.insert(messages, 1, { role = "system", text = opt.system }) end
local model = evla.load(opt.model, { kv = opt.kv })
local answer = evla.generate "answer" {
  model = model.model, messages = messages, tokens = opt.tokens, context = opt.context, memory = opt.budget,
  cache = opt.window > 0 and evla.cache.window { sinks = opt.sinks, recent = opt.window } or nil,
  loop = evla.loop.generate { temperature = opt.temperature, top_p = opt.top_p, seed = opt.seed },
}
return evla.program { answer }
