-- caption.lua: what is to be seen in a picture, in a sentence or two.
--   evla run pipelines/caption.lua --model MobileVLM_V2-1.7B --picture table.jpg
local evla = require "evla"
local opt = evla.options {
  model = { type = "path", doc = "a folder as Hugging Face keeps it, a GGUF file, or a bundle" },
  mmproj = { type = "path", optional = true, doc = "the GGUF file with the tower, beside a GGUF model" },
  picture = { type = "path", doc = "JPEG or PNG" },
  tokens = { type = "int", default = 96, min = 1, max = 1000000, doc = "of the caption at most" },
  type = { type = "enum", optional = true, choices = { "bf16", "f16", "q8_0", "q4_0", "q4_k" }, doc = "number format that matrices are rounded to; without, that of the file" },
  kv = { type = "enum", default = "bf16", choices = { "f32", "bf16", "f16", "q8_0" }, doc = "number format of keys and values" },
  budget = { type = "size", default = "0", doc = "for arena, keys and values; 0: no limit" },
}
local size = evla.picture(opt.picture).shape
local m = evla.see(opt.model, { mmproj = opt.mmproj, type = opt.type, kv = opt.kv, height = size[1], picture_width = size[2] }, function(own)
  if own.low then error(("%s: it answers in actions, not in words; pipelines/openvla.lua asks it"):format(opt.model), 0) end
end)
local caption = evla.generate "caption" {
  model = m.model, picture = opt.picture, prompt = m:prompt "Describe this picture briefly.", tokens = opt.tokens, context = m.context,
  memory = opt.budget, loop = evla.loop.generate {}, echo = false,
}
return evla.program { caption }
