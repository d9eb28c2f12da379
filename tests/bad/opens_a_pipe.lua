-- expect: 2 "attempt to call a nil value (field 'popen'); scripts declare"
io.popen("true")
