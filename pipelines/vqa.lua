-- vqa.lua: a question about a picture, to a model that was trained to answer such.
--   evla run pipelines/vqa.lua --model MobileVLM_V2-1.7B --picture table.jpg --ask "What is on the table?"
--   evla run pipelines/vqa.lua --model mobilellama.gguf --mmproj mmproj.gguf --picture table.jpg --ask "What is on the table?"
local evla = require "evla"
local opt = evla.options {
  model = { type = "path", doc = "a folder as Hugging Face keeps it, a GGUF file, or a bundle" },
  mmproj = { type = "path", optional = true, doc = "the GGUF file with the tower, beside a GGUF model" },
  picture = { type = "path", doc = "JPEG or PNG" },
  ask = { type = "string", doc = "what to ask" },
  tokens = { type = "int", default = 256, min = 1, max = 1000000, doc = "of the answer at most" },
  type = { type = "enum", optional = true, choices = { "bf16", "f16", "q8_0", "q4_0", "q4_k" }, doc = "number format that matrices are rounded to; without, that of the file" },
  kv = { type = "enum", default = "bf16", choices = { "f32", "bf16", "f16", "q8_0" }, doc = "number format of keys and values" },
  temperature = { type = "float", default = 0.0, min = 0, max = 100, doc = "0: always the likeliest token" },
  seed = { type = "int", default = 1, doc = "of what is drawn by lot" },
  budget = { type = "size", default = "0", doc = "for arena, keys and values; 0: no limit" },
}
local size = evla.picture(opt.picture).shape
local m = evla.see(opt.model, { mmproj = opt.mmproj, type = opt.type, kv = opt.kv, height = size[1], picture_width = size[2] }, function(own)
  if own.low then error(("%s: it answers in actions, not in words; pipelines/openvla.lua asks it"):format(opt.model), 0) end
end)
local answer = evla.generate "answer" {
  model = m.model, picture = opt.picture, prompt = m:prompt(opt.ask), tokens = opt.tokens, context = m.context, memory = opt.budget,
  loop = evla.loop.generate { temperature = opt.temperature, seed = opt.seed }, echo = false,
}
return evla.program { answer }
