-- expect: 2 "it lies outside the script"
local evla = require "evla"

-- a path that stands in the script is no path that the user declared
local o = evla.options { file = { type = "path", default = "/etc/passwd" } }
io.open(o.file)
