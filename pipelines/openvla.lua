-- openvla.lua: what a robot should do next, from a picture and an instruction: OpenVLA's seven tokens and the action they are, or
-- OpenVLA-OFT's next actions at once, from the pictures of several cameras and the robot's own state.
--   evla run pipelines/openvla.lua --model openvla-7b --picture table.png --instruction "pick up the red cup" --unnorm_key bridge_orig
--   evla run pipelines/openvla.lua --model openvla-oft --picture front.png,wrist.png --instruction "pick up the red cup" --state 0.1,0.2,0.3,0,0,0,0.04,-0.04
local evla = require "evla"
local asking = require "evla.asking"
local opt = evla.options {
  model = { type = "path", doc = "a folder with config.json, tokenizer.json and safetensors, or a bundle" },
  picture = { type = "list", of = "path", doc = "what the camera sees, JPEG or PNG; OFT: what each camera sees" },
  instruction = { type = "string", doc = "what to do, \"pick up the red cup\"" },
  state = { type = "list", of = "float", optional = true, doc = "OFT: what the robot knows of itself, in its units" },
  unnorm_key = { type = "string", optional = true, doc = "the data set whose statistics give actions their units; may be left out when there is one" },
  crop = { type = "float", default = 1.0, min = 0.01, max = 1, doc = "share of the picture's area that is seen: 0.9 for models fine-tuned with random crops" },
  type = { type = "enum", optional = true, choices = { "bf16", "f16", "q8_0", "q4_0", "q4_k" }, doc = "number format that matrices are rounded to; without, that of the file" },
  vicuna = { type = "bool", default = false, doc = "ask as version 0.1 was trained to be asked" },
  kv = { type = "enum", default = "bf16", choices = { "f32", "bf16", "f16", "q8_0" }, doc = "number format of keys and values" },
  budget = { type = "size", default = "0", doc = "for arena, keys and values; 0: no limit" },
}
local case = { from = opt.model, pictures = opt.picture, instruction = opt.instruction, state = opt.state }
local m = evla.see(opt.model, { unnorm_key = opt.unnorm_key, vicuna = opt.vicuna, crop = opt.crop, type = opt.type, kv = opt.kv, cameras = #opt.picture }, function(own)
  if not own.low then error(("%s: it answers in words, not in actions; pipelines/vqa.lua asks it"):format(opt.model), 0) end
  if opt.state and (own.proprio or 0) == 0 then error(("%s: it is not told the robot's state; leave --state out"):format(opt.model), 0) end
  return own.chunk and { size = asking.size { case } }
end)
if m.own.chunk then
  local inputs = asking.cases(m, { case })[1]
  return evla.program { evla.call "action" (m:call { pictures = inputs.pictures, values = inputs.values, show = { "action" }, memory = opt.budget }) }
end
local action = evla.generate "action" {
  model = m.model, picture = opt.picture[1], prompt = m:prompt(opt.instruction), tokens = m.tokens, context = m.context, memory = opt.budget,
  loop = evla.loop.generate(m.loop), ignore_end = true, echo = false,
}
return evla.program { action }
