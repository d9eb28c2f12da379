return function(p)
  return { policy = function(g)
    local x = g:input("x", "f32[B,9]")
    local y = g:input("y", "f32[B,7]")
    g:output("z", g.add { x, y })
  end }
end
