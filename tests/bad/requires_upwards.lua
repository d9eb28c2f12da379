-- expect: 2 "require: want a name such as "shapes" or "lib.shapes", got "../x""
require "../x"
