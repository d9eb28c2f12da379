-- expect: 2 "options: file: there is no file"
-- args: --file nowhere.bin
local evla = require "evla"

local o = evla.options {
  episodes = { type = "int", default = 3, min = 1, max = 100, doc = "how many" },
  file = { type = "path", optional = true, doc = "a file" },
}
return o
