-- expect: 2 "reads_outside.lua:2: /etc/passwd: it lies outside the script"
io.open("/etc/passwd")
