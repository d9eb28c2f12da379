-- A small net from one field to another, and ways to declare it wrongly.
return {
  options = {
    input = { type = "string", default = "obs/joint_pos", doc = "field" },
    shape = { type = "string", default = "[B,7]", doc = "of the input" },
    stat = { type = "int", default = 0, doc = "numbers of a statistic; 0: none" },
    width = { type = "int", default = 8, doc = "of the hidden layer" },
    loss = { type = "enum", choices = { "mean", "none" }, default = "mean", doc = "reduction" },
  },
  graphs = function(p)
    local function act(g)
      local x = g:input(p.input, "f32" .. p.shape)
      if p.stat > 0 then x = g.sub { x, g:weight("mean", ("f32[%d]"):format(p.stat), "mean:obs/eef_pos") } end
      if p.shape ~= "[B,7]" and p.shape ~= "[8,7]" then x = g.reshape { x, shape = { "B", -1 } } end
      return g.linear { g.tanh { g.linear { x, w = "1.w", b = "1.b", out = p.width } }, w = "2.w", b = "2.b", out = 8 }
    end
    return {
      policy = function(g) g:output("action", act(g)) end,
      loss = function(g)
        local y = g:input("actions", p.shape == "[8,7]" and "f32[8,8]" or "f32[B,8]")
        g:output("loss", g.mse_loss { act(g), y, reduction = p.loss })
      end,
    }
  end,
}
