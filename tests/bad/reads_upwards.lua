-- expect: 2 "it lies outside the script"
io.open("../../Makefile")
