-- expect: 2 "unknown_global.lua:2:"
nothing.here()
