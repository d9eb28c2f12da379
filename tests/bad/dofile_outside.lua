-- expect: 2 "it lies outside the script"
dofile("/etc/passwd")
