-- expect: 2 "loops_for_ever.lua:4: still declaring after 1 s, which is the deadline"
-- args: --deadline 1s
local n = 0
while true do n = n + 1 end
