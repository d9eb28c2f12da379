-- expect: 2 "evla has nothing called "pipelin"; did you mean "pipeline"?"
local evla = require "evla"

return evla.pipelin "p" {}
