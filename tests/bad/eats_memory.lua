-- expect: 2 "eats_memory: it needs more than 32 MiB while declaring, which is the cap"
-- args: --memory 32MiB
local t = {}
for i = 1, 1e9 do t[i] = { i } end
