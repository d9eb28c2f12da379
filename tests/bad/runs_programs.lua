-- expect: 2 "runs_programs.lua:2: attempt to call a nil value (field 'execute'); scripts declare"
os.execute("true")
