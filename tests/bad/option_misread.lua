-- expect: 2 "options: there is no option "episode"; did you mean "episodes"?"
local evla = require "evla"

local o = evla.options { episodes = { type = "int", default = 3 } }
print(o.episode)
