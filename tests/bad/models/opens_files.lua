return function(p)
  io.open("opens_files.lua")
end
