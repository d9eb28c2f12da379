-- figure.lua FILE EXPRESSION: a figure of a summary; the expression sees it as s. FILE "-" is standard input.
package.path = "scripts/?.lua;" .. package.path
local f = arg[1] == "-" and io.stdin or assert(io.open(arg[1]))
local v = assert(load("local s = ... return " .. arg[2]))(require("evla.json").decode(f:read("a")))
print(math.type(v) == "float" and ("%.4g"):format(v) or v)
