-- expect: 2 "scripts write below the output folder only, which is evla.out"
io.open("writes_beside.txt", "w")
