-- expect: 2 "throws.lua:2: no coffee today"
error("no coffee today")
