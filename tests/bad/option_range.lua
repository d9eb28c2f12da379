-- expect: 2 "options: episodes: want 1 to 100, got 1000"
-- args: --episodes 1000
local evla = require "evla"

local o = evla.options {
  episodes = { type = "int", default = 3, min = 1, max = 100, doc = "how many" },
  file = { type = "path", optional = true, doc = "a file" },
}
return o
