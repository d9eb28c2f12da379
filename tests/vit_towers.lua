-- vit_towers.lua: two encoders side by side on the same pictures, as OpenVLA has them: a model file made of another one.
local vit = require "vit"
return function(p)
  return { vision = function(g)
    local pixels = g:input("pixels", ("f32[M,3,%d,%d]"):format(p.first.image, p.first.image))
    g:output("features", g.concat { vit.encode(g, pixels, p.first, "M"), vit.encode(g, pixels, p.second, "M"), axis = -1 })
  end }
end
