-- expect: 2 "attempt to load a binary chunk"
assert(load("\27Lua", "chunk", "b"))
