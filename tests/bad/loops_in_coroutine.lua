-- expect: 2 "still declaring after 1 s, which is the deadline"
-- args: --deadline 1s
local co = coroutine.wrap(function() while true do coroutine.yield() end end)
while true do co() end
