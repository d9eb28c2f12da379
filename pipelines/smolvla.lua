-- smolvla.lua: cameras, an instruction and the robot's own state become a chunk of actions.
--   evla run pipelines/smolvla.lua --model smolvla.gguf --picture front.jpg,wrist.png --instruction "pick up the red cup" --state 0.1,-0.4,0,1.2,0,0.5
--   evla run pipelines/smolvla.lua --model smolvla.gguf --case FOLDER --dump OUT
-- The model is a GGUF file as vla.cpp's converter writes it, lerobot's model.safetensors with config.json, statistics and
-- tokenizer.json beside it, or a bundle that evla pack wrote. A case is a folder with images.u8 [camera][y][x][rgb] of the model's size, tokens.i32, state.f32 (padded)
-- and noise.f32 [chunk][action], and maybe image_mask.u8 and token_mask.u8, which say 0 of cameras and words that are not there.
local evla = require "evla"
local opt = evla.options {
  model = { type = "path", beside = true, doc = "a GGUF file, model.safetensors, or a bundle" },
  type = { type = "string", optional = true, doc = "number format of the matrices: f32 is exact and what there is without, bf16, q8_0, q4_0, ... are faster; file: as there, as in a packed one" },
  picture = { type = "list", of = "path", optional = true, doc = "what each camera sees, JPEG or PNG of any size" },
  instruction = { type = "string", optional = true, doc = "what to do, \"pick up the red cup\"" },
  state = { type = "list", of = "float", optional = true, doc = "the robot's own, in its units" },
  seed = { type = "int", default = 1, doc = "of the noise that becomes actions" },
  tokenizer = { type = "path", optional = true, doc = "a tokenizer.json, where the model has none and none lies beside it" },
  case = { type = "path", optional = true, doc = "a folder of inputs instead" },
  cameras = { type = "int", optional = true, min = 1, max = 64, doc = "how many; as there are pictures, or the model says, or 2" },
  dump = { type = "path", optional = true, input = false, doc = "a folder for every stage as .npy" },
  runs = { type = "int", default = 1, min = 1, max = 1000000, doc = "timed calls" },
  budget = { type = "size", default = "0", doc = "for weights, arena and what is handed on; 0: no limit" },
}

local policy = evla.policy(opt.model, function(own)
  local kind = opt.type or own.packed and "file" or "f32"
  local given = { cameras = opt.cameras, inner = opt.dump ~= nil, type = kind ~= "file" and kind or nil }
  if opt.case then
    given.cases = { opt.case }
    return given
  end
  given.pictures, given.instruction, given.state, given.seed, given.tokenizer = opt.picture, opt.instruction, opt.state, opt.seed, opt.tokenizer
  return given
end, "smolvla")

local files = opt.case and policy.cases[1].files
local act = evla.call "act" (policy:call { files = files, show = { "action" }, dump = opt.dump, runs = opt.runs, memory = opt.budget })
for _, raw in ipairs(not opt.case and { { "picture", "black images" }, { "instruction", "an empty text" }, { "state", "a state of zeros" } } or {}) do
  if not opt[raw[1]] then print(("there is no --%s: it acts on %s"):format(raw[1], raw[2])) end
end
return evla.program { act }
