return function(p)
  return { policy = function(g)
    g:output("y", g:input("x", "f33[4]"))
  end }
end
