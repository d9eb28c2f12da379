return function(p)
  return { policy = function(g) g:input("x", "f32[4]") end }
end
