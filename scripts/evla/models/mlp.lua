-- mlp.lua: a policy of plain layers, from a state to an action.
--   evla ops scripts/evla/models/mlp.lua --layers 3 --B 32
return {
  options = {
    layers = { type = "int", default = 2, min = 0, max = 64, doc = "hidden layers" },
    width = { type = "int", default = 64, min = 1, max = 65536, doc = "features of a hidden layer" },
    state = { type = "int", default = 9, min = 1, doc = "numbers in a state" },
    action = { type = "int", default = 7, min = 1, doc = "numbers in an action" },
    norm = { type = "bool", default = false, doc = "a layer_norm in front of each hidden layer" },
  },
  graphs = function(p)
    return { policy = function(g)
      local x = g:input("state", ("f32[B,%d]"):format(p.state))
      for i = 1, p.layers do
        local name = ("blk.%d."):format(i)
        if p.norm then x = g.layer_norm { x, w = name .. "norm.w", b = name .. "norm.b" } end
        x = g.gelu { g.linear { x, w = name .. "w", b = name .. "b", out = p.width } }
      end
      g:output("action", g.linear { x, w = "head.w", b = "head.b", out = p.action })
    end }
  end,
}
