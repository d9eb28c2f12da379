-- coffee.lua: a robot makes coffee. Demonstrations from physics to a dataset, filtered, replayed, stored and shown.
--   evla run pipelines/coffee.lua
--   evla run pipelines/coffee.lua --episodes 8 --size 64
local evla = require "evla"
local stage, body = evla.stage, evla.body

local opt = evla.options {
  episodes = { type = "int", default = 60, min = 1, doc = "episodes attempted" },
  seed = { type = "int", default = 1, doc = "start of all randomness" },
  size = { type = "int", default = 96, min = 16, max = 1024, doc = "width and height of camera pictures in pixels" },
  camera_rate = { type = "rate", default = 30, doc = "pictures per second" },
  compress = { type = "enum", choices = { "none", "gzip" }, default = "gzip", doc = "how pictures are stored" },
  replay = { type = "bool", default = true, doc = "store only what replays to the same bits" },
}

local coffee = body.mujoco {
  scene = "coffee", rate = 100,
  cameras = {
    { name = "front", size = { opt.size, opt.size }, rate = opt.camera_rate, depth = true, labels = true },
  },
}

local stages = {
  evla.rollout { body = coffee, policy = "expert", episodes = opt.episodes, seed = opt.seed },
  stage.sanity {
    reject = { "not_finite", "object_lost", "self_collision", "joint_limit", "velocity_limit", "forbidden_contact",
               "excessive_force", "unstable_after_release", "timeout", "task_failed" },
  },
}
if opt.replay then stages[#stages + 1] = stage.replay { body = coffee } end
stages[#stages + 1] = stage.hdf5 { path = "demos.hdf5", layout = "robomimic", depth = "f16", shard = "2GiB",
                                   compress = opt.compress, valid = 0.1 }

local demos = evla.pipeline "demos" (stages)

return evla.program { demos, evla.report {} }
