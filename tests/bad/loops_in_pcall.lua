-- expect: 2 "still declaring after 1 s, which is the deadline"
-- args: --deadline 1s
while true do pcall(function() while true do end end) end
