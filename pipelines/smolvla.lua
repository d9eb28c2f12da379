-- smolvla.lua: cameras, an instruction and the robot's own state become a chunk of actions.
--   evla run pipelines/smolvla.lua --model smolvla.gguf --case FOLDER --dump OUT
-- The model is a GGUF file as vla.cpp's converter writes it, lerobot's model.safetensors with config.json and statistics beside it,
-- or a bundle that evla pack wrote. A case is a folder with images.u8 [camera][y][x][rgb] of the model's size, tokens.i32, state.f32 (padded) and noise.f32
-- [chunk][action]. Without one it acts on black images, which takes as long.
local evla = require "evla"
local opt = evla.options {
  model = { type = "path", beside = true, doc = "a GGUF file, model.safetensors, or a bundle" },
  type = { type = "string", optional = true, doc = "number format of the matrices: f32 is exact and what there is without, bf16, q8_0, q4_0, ... are faster; file: as there, as in a packed one" },
  case = { type = "path", optional = true, doc = "a folder of inputs" },
  cameras = { type = "int", optional = true, min = 1, max = 64, doc = "how many; as the case has, or the model says, or 2" },
  dump = { type = "path", optional = true, input = false, doc = "a folder for every stage as .npy" },
  runs = { type = "int", default = 1, min = 1, max = 1000000, doc = "timed calls" },
  budget = { type = "size", default = "0", doc = "for weights, arena and what is handed on; 0: no limit" },
}

local function bytes(name)
  local file <close> = assert(io.open(opt.case .. "/" .. name, "rb"))
  return file:seek "end"
end

local files = opt.case and {}
for input, name in pairs(opt.case and { images = "images.u8", tokens = "tokens.i32", state = "state.f32", x_t = "noise.f32" } or {}) do
  files[input] = opt.case .. "/" .. name
end

local policy = evla.policy(opt.model, function(own)
  local kind = opt.type or own.packed and "file" or "f32"
  local given = { cameras = opt.cameras, inner = opt.dump ~= nil, type = kind ~= "file" and kind or nil }
  if not files then return given end
  local one, all = own.image * own.image * 3, bytes "images.u8"
  if all % one ~= 0 then error(("%s holds %d bytes, no whole number of images of %d"):format(files.images, all, one), 0) end
  given.cameras = given.cameras or all // one
  given.tokens = bytes "tokens.i32" // 4
  return given
end)
local act = evla.call "act" (policy:call { files = files, dump = opt.dump, runs = opt.runs, memory = opt.budget })
return evla.program { act }
