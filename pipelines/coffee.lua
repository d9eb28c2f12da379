-- coffee.lua: a robot learns to make coffee. Demonstrations from physics to a dataset; a policy that reads a sentence and sees
-- noisy poses, learned from them and from its own mistakes; its weights in eight bits; evaluated, guarded, run in real time.
--   evla run pipelines/coffee.lua
--   evla run pipelines/coffee.lua --episodes 8 --size 64 --learn no
local evla = require "evla"
local stage, body, quant, scene = evla.stage, evla.body, evla.quant, evla.scene

local opt = evla.options {
  episodes = { type = "int", default = 60, min = 1, doc = "demonstrations with pictures" },
  seed = { type = "int", default = 1, doc = "start of all randomness" },
  size = { type = "int", default = 96, min = 16, max = 1024, doc = "width and height of camera pictures in pixels" },
  camera_rate = { type = "rate", default = 30, doc = "pictures per second" },
  compress = { type = "enum", choices = { "none", "gzip" }, default = "gzip", doc = "how pictures are stored" },
  replay = { type = "bool", default = true, doc = "store only what replays to the same bits" },
  learn = { type = "bool", default = true, doc = "go on to a policy; off: demonstrations only" },
  practice = { type = "int", default = 300, min = 1, doc = "more demonstrations, noisy and without pictures" },
  rounds = { type = "int", default = 6, min = 0, max = 20, doc = "rounds in which the policy drives and the teacher labels" },
  visits = { type = "int", default = 125, min = 1, doc = "episodes of a round" },
  steps = { type = "int", default = 3000, min = 2, doc = "updates before the first round; half as many after each, twice as many at the end" },
  trials = { type = "int", default = 300, min = 6, doc = "episodes of an evaluation" },
  wall = { type = "duration", default = "60s", min = 0.1, doc = "how long the robot runs in real time" },
}

-- ---- demonstrations -------------------------------------------------------------------------------------------------

local coffee = body.mujoco {
  scene = "coffee", rate = 100,
  cameras = {
    { name = "front", size = { opt.size, opt.size }, rate = opt.camera_rate, depth = true, labels = true },
  },
}

local stages = {
  evla.rollout { body = coffee, policy = "expert", label = true, episodes = opt.episodes, seed = opt.seed },
  stage.sanity {
    reject = { "not_finite", "object_lost", "self_collision", "joint_limit", "velocity_limit", "forbidden_contact",
               "excessive_force", "unstable_after_release", "timeout", "task_failed" },
  },
}
if opt.replay then stages[#stages + 1] = stage.replay { body = coffee } end
stages[#stages + 1] = stage.hdf5 { path = "demos.hdf5", layout = "robomimic", depth = "f16", shard = "2GiB",
                                   compress = opt.compress, valid = 0.1 }

local demos = evla.pipeline "demos" (stages)
if not opt.learn then return evla.program { demos, evla.report {} } end

-- ---- learning: the teacher's way, then one's own mistakes (DAgger, Ross et al. 2011) --------------------------------

local blind = body.mujoco { scene = "coffee", rate = 100 } -- poses as a sensor gives them, no pictures
local guard = scene.causal { rules = "coffee" }
local schedule = { { graph = "slow", rate = 30, latency = "10ms" }, { graph = "fast", rate = 100 } }

local function episodes(name, how)
  how.body, how.label = blind, true
  return evla.pipeline(name) { evla.rollout(how), stage.hdf5 { path = name .. ".hdf5", valid = 0.1 } }
end

local data = { demos, episodes("practice", { policy = "expert", noise = 0.05, episodes = opt.practice, seed = opt.seed + 1 }) }
local function learn(name, from, how)
  how.model, how.init, how.data = from.model, from.init, { table.unpack(data) }
  how.batch, how.weight_decay, how.warmup, how.schedule, how.seed = 256, 1e-2, 100, "cosine", opt.seed
  return evla.train(name)(how)
end

local model = evla.model "coffee_policy" { seed = opt.seed }
local jobs = { demos, data[2], model }
local policy = learn("policy0", { model = model }, { steps = opt.steps, lr = 3e-3, final = 0.1 })
jobs[#jobs + 1] = policy
for round = 1, opt.rounds do
  local is_last = round == opt.rounds
  data[#data + 1] = episodes("visits" .. round, {
    policy = "model", model = policy, schedule = schedule, episodes = opt.visits, seed = opt.seed + 10 * round,
    mix = is_last and 0 or 0.5 / round, segment = "2s", limit = "16s",
    guard = round % 2 == 0 and guard or nil, -- it will act guarded, and be slower and elsewhere for it
  })
  policy = learn("policy" .. round, { model = model, init = policy }, {
    steps = is_last and 2 * opt.steps or opt.steps // 2, lr = is_last and 3e-3 or 1.5e-3, final = is_last and 0.01 or 0.3,
  })
  jobs[#jobs + 1] = data[#data]
  jobs[#jobs + 1] = policy
end

-- ---- eight bits -----------------------------------------------------------------------------------------------------

local small = evla.recipe "int8" {
  model = policy, calibrate = { data = { data[1], data[2] } }, rules = { { "*", quant.int8 {} } }, accept = { worse_by = "2%" },
  step = { "slow", "fast" },
}

-- ---- acting ---------------------------------------------------------------------------------------------------------

local function act(name, how)
  how.body, how.schedule, how.seed = how.body or blind, schedule, opt.seed + 1000
  return evla.rollout(name)(how)
end

local eval = act("eval", { body = coffee, model = small, guard = guard, episodes = opt.trials, keep = 3, memory = "16MiB" })
local unguarded = act("unguarded", { model = small, episodes = opt.trials // 3 })
local float = act("float", { model = policy, episodes = opt.trials // 4 })
local shuffled = act("shuffled", { model = small, episodes = opt.trials // 8 + 2, instructions = "shuffled" })
local robot = act("robot", { model = small, guard = guard, clock = "wall", seconds = opt.wall, memory = "16MiB" })

for _, j in ipairs { small, eval, unguarded, float, shuffled, robot, evla.report {} } do jobs[#jobs + 1] = j end
return evla.program(jobs)
