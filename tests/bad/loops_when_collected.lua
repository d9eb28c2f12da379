-- expect: 2 "which is the deadline"
-- args: --deadline 1s
setmetatable({}, { __gc = function() while true do end end })
collectgarbage()
