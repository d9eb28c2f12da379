-- expect: 2 "attempt to index a nil value (global 'debug'); scripts declare"
debug.sethook()
