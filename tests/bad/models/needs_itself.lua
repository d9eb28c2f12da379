local me = require "needs_itself"
return me
