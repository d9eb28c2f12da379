-- coffee_vla.lua: a vision-language-action policy at the coffee table, in real time. It looks through the body's cameras, answers
-- beside the ticks, and its actions are played behind the guard: a test of latency, since no checkpoint knows this body.
--   evla new weights smolvla --type bf16 --seed 1 -o smolvla.gguf
--   evla run pipelines/coffee_vla.lua --model smolvla.gguf --type file --latency 1500ms --pace 15 --threads 2
--   evla run pipelines/coffee_vla.lua --model openvla-7b --unnorm_key bridge_orig --instruction "open the lid" --latency 900ms --pace 1
local evla = require "evla"
local seeing = require "evla.seeing"
local opt = evla.options {
  model = { type = "path", beside = true, doc = "a policy that evla.policy reads, or OpenVLA's folder or bundle" },
  instruction = { type = "string", optional = true, doc = "what it is told, in words of its own tokenizer; some models want it" },
  tokenizer = { type = "path", optional = true, doc = "a tokenizer.json, where a policy has none and none lies beside it" },
  unnorm_key = { type = "string", optional = true, doc = "OpenVLA: the data set whose statistics give actions their units" },
  type = { type = "string", default = "f32", doc = "number format of its matrices: f32, bf16, q8_0, q4_0, ...; file: as there" },
  cameras = { type = "int", optional = true, min = 1, max = 2, doc = "how many it sees through, if it does not say" },
  chunk = { type = "enum", choices = { "queue", "ensemble", "inpaint", "guide" }, default = "queue", doc = "how answers are played" },
  pace = { type = "rate", default = 30, doc = "actions of an answer that are played per second" },
  rate = { type = "rate", default = 0, doc = "calls per second; 0: as few as answers last for" },
  latency = { type = "duration", default = "100ms", min = 0.001, max = 60, doc = "how long a call is going to take" },
  threads = { type = "int", default = 1, min = 1, max = 64, doc = "of a call" },
  clock = { type = "enum", choices = { "wall", "virtual" }, default = "wall", doc = "real time, or as fast as it goes" },
  seconds = { type = "duration", default = "20s", min = 0.1, doc = "how long; of an episode at most, on a virtual clock" },
  episodes = { type = "int", default = 1, min = 1, doc = "how many, on a virtual clock" },
  guarded = { type = "bool", default = true, doc = "the guard of the coffee table has the last word" },
  slow_late = { type = "duration", default = "10s", doc = "how old what an action was made of may be" },
  seed = { type = "int", default = 1, doc = "start of all randomness" },
}

local NAMES, FEELS, side, views = { "front", "wrist" }, { "obs/joint_pos f32[7]", "obs/gripper_pos f32[2]" }, nil, {}
local kind = opt.type ~= "file" and opt.type or nil
local keeps = opt.chunk == "inpaint" or opt.chunk == "guide" -- to what is played of the answer before

local function look(n, pixels)
  for i = 1, n do
    if not NAMES[i] then error(("%s: it sees through %d cameras; the body has %d"):format(opt.model, n, #NAMES), 0) end
    views[i] = ("cameras/%s/rgb"):format(NAMES[i])
  end
  side = pixels
end

local function acts()
  return evla.policy(opt.model, function(own)
    look(own.image and (opt.cameras or own.cameras or 2) or 1, own.image or 64)
    return { cameras = own.image and #views, views = views, feels = FEELS, moves = 8, previous = keeps and opt.chunk or nil, type = kind,
             instruction = opt.instruction, tokenizer = opt.tokenizer }
  end)
end

local function sees()
  if not opt.instruction then error(("%s: it acts as it is told; want --instruction"):format(opt.model), 0) end
  return evla.see(opt.model, { type = kind, unnorm_key = opt.unnorm_key, instruction = opt.instruction, cameras = opt.cameras }, function(own)
    if not own.low then error(("%s: it answers in words and moves nothing; want a policy"):format(opt.model), 0) end
    look(own.chunk and opt.cameras or 1, own.image)
    return { views = views, feels = (own.proprio or 0) > 0 and FEELS or nil, moves = 8 }
  end)
end

local policy = seeing.is(opt.model) and sees() or acts()
local cameras = {}
for i in ipairs(views) do cameras[i] = { name = NAMES[i], size = { side, side }, rate = 10 } end
local robot = evla.rollout "robot" {
  body = evla.body.mujoco { scene = "coffee", rate = 100, cameras = cameras }, model = policy.model, guard = opt.guarded and evla.scene.causal { slow_late = opt.slow_late } or nil,
  schedule = policy:beside { rate = opt.rate, latency = opt.latency, chunk = keeps and "realtime" or opt.chunk, pace = opt.pace, workers = opt.threads },
  clock = opt.clock, seconds = opt.seconds, limit = opt.clock == "virtual" and opt.seconds or nil, episodes = opt.clock == "virtual" and opt.episodes or 0, seed = opt.seed,
}
return evla.program { robot }
