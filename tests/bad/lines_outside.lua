-- expect: 2 "it lies outside the script"
for l in io.lines("/etc/passwd") do end
