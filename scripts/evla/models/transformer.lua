-- transformer.lua: a pre-norm transformer encoder over a sequence of observations, mean-pooled into an action.
-- Vaswani et al. 2017 with RMSNorm (Zhang and Sennrich 2019) and SwiGLU (Shazeer 2020).
return {
  options = {
    layers = { type = "int", default = 4, min = 1, max = 64, doc = "blocks" },
    width = { type = "int", default = 128, min = 8, max = 8192, doc = "features of a token" },
    heads = { type = "int", default = 4, min = 1, max = 64, doc = "attention heads; they share the width" },
    hidden = { type = "int", default = 384, min = 8, max = 32768, doc = "features inside the feed-forward part" },
    observation = { type = "int", default = 32, min = 1, max = 8192, doc = "features of an observation" },
    action = { type = "int", default = 8, min = 1, max = 1024, doc = "entries of an action" },
  },
  graphs = function(p)
    return { policy = function(g)
      local x = g.linear { g:input("observations", ("f32[B,T,%d]"):format(p.observation)), w = "in.w", b = "in.b", out = p.width }
      for i = 1, p.layers do
        local name = ("blk.%d.%%s"):format(i)
        local h = g.rms_norm { x, w = name:format("attn_norm.w") }
        local q = g.linear { h, w = name:format("q.w"), out = p.width }
        local k = g.linear { h, w = name:format("k.w"), out = p.width }
        local v = g.linear { h, w = name:format("v.w"), out = p.width }
        local a = g.attention { q, k, v, heads = p.heads }
        x = g.add { x, g.linear { a, w = name:format("o.w"), out = p.width } }
        h = g.rms_norm { x, w = name:format("ffn_norm.w") }
        local gate = g.silu(g.linear { h, w = name:format("gate.w"), out = p.hidden })
        local up = g.linear { h, w = name:format("up.w"), out = p.hidden }
        x = g.add { x, g.linear { g.mul { gate, up }, w = name:format("down.w"), out = p.width } }
      end
      local pooled = g.reduce_mean { g.rms_norm { x, w = "out_norm.w" }, axes = { 1 } }
      g:output("action", g.tanh(g.linear { pooled, w = "head.w", b = "head.b", out = p.action }))
    end }
  end,
}
