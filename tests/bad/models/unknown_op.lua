return function(p)
  return { policy = function(g)
    local x = g:input("x", "f32[B,9]")
    g:output("y", g.gelo { x })
  end }
end
