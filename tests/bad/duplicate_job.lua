-- expect: 2 "duplicate_job.lua:6: a job called "p" is already declared at duplicate_job.lua:5; rename one"
-- needs: mujoco
local evla = require "evla"

local a = evla.pipeline "p" { evla.rollout { body = "mujoco" } }
local b = evla.pipeline "p" { evla.rollout { body = "mujoco" } }
return evla.program { a, b }
