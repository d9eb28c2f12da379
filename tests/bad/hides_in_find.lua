-- expect: 2 "hides_in_find.lua: still declaring after 1 s, which is the deadline (inside a library function)"
-- args: --deadline 1s
-- no hook runs inside a pattern match
string.find(("a"):rep(100000), (".-"):rep(60) .. "b")
