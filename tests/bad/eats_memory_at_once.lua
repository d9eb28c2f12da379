-- expect: 2 "it needs more than 256 MiB while declaring, which is the cap"
local s = ("x"):rep(1 << 30)
