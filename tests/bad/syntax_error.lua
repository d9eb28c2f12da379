-- expect: 2 "syntax_error.lua:4:"
local x = 3
return evla.program { x
}}
