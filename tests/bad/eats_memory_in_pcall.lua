-- expect: 2 "it needs more than 32 MiB while declaring, which is the cap"
-- args: --memory 32MiB
local t = {}
while true do pcall(function() for i = #t + 1, 1e9 do t[i] = { i } end end) end
