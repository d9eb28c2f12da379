return function(p)
  return { policy = function(g)
    local x = g:input("x", "f32[B,4]")
    g:output("y", g.linear { x, w = "w", outt = 3 })
  end }
end
