-- expect: 2 "returns_text.lua: it returns string; want a program at its end"
return "done"
