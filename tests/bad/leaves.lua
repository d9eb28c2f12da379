-- expect: 2 "attempt to call a nil value (field 'exit'); scripts declare"
os.exit(0)
