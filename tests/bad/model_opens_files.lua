-- expect: 2 "models/opens_files.lua:2: a model file has no "io""
-- needs: ops
local evla = require "evla"
return evla.program { evla.model "opens_files" {} }
