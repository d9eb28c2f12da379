return function()
  return {
    slow = function(g) g:output("seen", g.relu { g:input("obs/eef_pos", "f32[B,3]") }) end,
    fast = function(g)
      local x = g.concat { g:input("obs/joint_pos", "f32[B,7]"), g:input("seen", "f32[B,3]"), axis = 1 }
      g:output("action", g.linear { x, w = "w", out = 8 })
    end,
    blind = function(g) g:output("action", g.linear { g:input("obs/joint_angles", "f32[B,7]"), w = "w2", out = 8 }) end,
    small = function(g) g:output("action", g.linear { g:input("obs/joint_pos", "f32[B,7]"), w = "w3", out = 7 }) end,
  }
end
