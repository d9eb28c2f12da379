-- expect: 2 "missing_module.lua:2: require: no module is called "shapes""
require "shapes"
