return function(p)
  return { policy = function(g)
    local x = g:input("x", "f32[1,1048576]")
    g:output("y", g.gelu { g.linear { x, w = "w", out = 8 } })
    g:output("z", g.relu { x })
  end }
end
