-- connectors.lua: from what a vision tower saw to rows of embeddings that a language model reads.
-- Linear layers with GELU between them (LLaVA, OpenVLA), pixel shuffle (Idefics3, SmolVLM), LDPv2 (MobileVLM V2), Q-Former (BLIP-2).
-- Other model files call them: require "connectors".mlp(g, x, options). x and what they give: f32[batch,tokens,features].

local function linear(g, x, name, out, bias)
  return g.linear { x, w = name .. ".weight", b = bias ~= false and g:weight(name .. ".bias", ("f32[%d]"):format(out)) or nil, out = out }
end

local function norm(g, x, name, width, eps)
  local type = ("f32[%d]"):format(width)
  return g.layer_norm { x, w = g:weight(name .. ".weight", type, "ones"), b = g:weight(name .. ".bias", type), eps = eps }
end

-- Linear layers; names: theirs, in order; widths: what each gives.
local function mlp(g, x, p)
  for i, name in ipairs(p.names) do x = linear(g, i > 1 and g.gelu(x) or x, name, p.widths[i]) end
  return x
end

-- factor x factor neighbours of a square of patches become one token with all their features, then a linear without bias.
-- Source: Idefics3Connector of Hugging Face's transformers; Laurencon et al. 2024.
local function pixel_shuffle(g, x, p)
  local f, side, width = p.factor, p.side, p.width
  if side % f ~= 0 then error(("connectors: pixel shuffle of %dx%d patches by %d: want a divisor"):format(side, side, f), 0) end
  local cut = g.transpose { g.reshape { x, shape = { -1, side // f, f, side // f, f, width } }, perm = { 0, 1, 3, 2, 4, 5 } }
  return linear(g, g.reshape { cut, shape = { -1, (side // f) * (side // f), f * f * width } }, p.names[1], p.out, false)
end

-- Two linears, the mean of each 2 x 2 patches, and what a 3 x 3 window of each channel says of the place, added.
-- Source: Chu et al. 2024 (MobileVLM V2), section 3.3; LDPNetV2Projector of its code.
local function ldpv2(g, x, p)
  local side, out = p.side, p.out
  if side % 2 ~= 0 then error(("connectors: ldpv2 of %dx%d patches: want an even number"):format(side, side), 0) end
  local y = mlp(g, x, { names = { p.names[1], p.names[2] }, widths = { out, out } })
  local planes = g.transpose { g.reshape { y, shape = { -1, side, side, out } }, perm = { 0, 3, 1, 2 } }
  local small = g.avg_pool2d { planes, kernel_size = { 2 } }
  local peg = p.names[3]
  local place = g.conv2d { small, w = g:weight(peg .. ".weight", ("f32[%d,1,3,3]"):format(out)), b = g:weight(peg .. ".bias", ("f32[%d]"):format(out)),
                           out = out, groups = out, padding = { 1 } }
  return g.transpose { g.reshape { g.add { place, small }, shape = { -1, out, (side // 2) * (side // 2) } }, perm = { 0, 2, 1 } }
end

-- Learned queries look at the features in every second layer. age f32[tokens], optional: how many seconds before the question each
-- feature was sampled; it turns into waves from max_period down to min_period and is added to what keys are made of, so that
-- cameras and joints with clocks of their own can be told apart.
-- Source: Li et al. 2023 (BLIP-2), section 3; Qformer.py of LAVIS, its names. Waves: Vaswani et al. 2017, section 3.5.
local function qformer(g, x, p)
  local width, bert = p.width, p.prefix .. "Qformer.bert."
  local seen = norm(g, x, p.prefix .. "ln_vision", p.features, 1e-5)
  local keyed = seen
  if p.age then
    local waves, step = {}, p.waves > 1 and (p.min_period / p.max_period) ^ (1 / (p.waves - 1)) or 1
    for i = 1, p.waves do waves[i] = 2 * math.pi / (p.max_period * step ^ (i - 1)) end
    local angle = g.mul { g.reshape { p.age, shape = { -1, 1 } }, g:const(("f32[1,%d]"):format(p.waves), { waves }) }
    keyed = g.add { seen, linear(g, g.concat { g.sin(angle), g.cos(angle), axis = -1 }, p.prefix .. "time_proj", p.features) }
  end
  local learned = g:weight(p.prefix .. "query_tokens", ("f32[1,%d,%d]"):format(p.queries, width))
  local q = g.broadcast { norm(g, learned, bert .. "embeddings.LayerNorm", width, p.eps), shape = { p.batch, p.queries, width } }
  local function attend(name, keys, values)
    local function part(y, what) return linear(g, y, name .. ".self." .. what, width) end
    local a = g.attention { part(q, "query"), part(keys, "key"), part(values, "value"), heads = p.heads }
    q = norm(g, g.add { q, linear(g, a, name .. ".output.dense", width) }, name .. ".output.LayerNorm", width, p.eps)
  end
  for i = 0, p.layers - 1 do
    local layer = bert .. ("encoder.layer.%d."):format(i)
    attend(layer .. "attention", q, q)
    if i % 2 == 0 then attend(layer .. "crossattention", keyed, seen) end
    local h = linear(g, g.gelu(linear(g, q, layer .. "intermediate_query.dense", p.hidden)), layer .. "output_query.dense", width)
    q = norm(g, g.add { q, h }, layer .. "output_query.LayerNorm", width, p.eps)
  end
  return linear(g, q, p.prefix .. p.names[1], p.out)
end

local kinds = { mlp = mlp, pixel_shuffle = pixel_shuffle, ldpv2 = ldpv2, qformer = qformer }

-- One of them as a model of its own.
return {
  mlp = mlp, pixel_shuffle = pixel_shuffle, ldpv2 = ldpv2, qformer = qformer,
  options = {
    kind = { type = "enum", default = "mlp", choices = { "mlp", "pixel_shuffle", "ldpv2", "qformer" }, doc = "which one" },
    names = { type = "list", of = "string", doc = "of its linears, in order; ldpv2: the third is the window's" },
    widths = { type = "list", of = "int", optional = true, doc = "mlp: what each linear gives" },
    features = { type = "int", default = 1024, min = 1, max = 65536, doc = "of a token that comes" },
    tokens = { type = "int", default = 576, min = 1, max = 65536, doc = "that come" },
    side = { type = "int", default = 24, min = 1, max = 256, doc = "patches of a side" },
    factor = { type = "int", default = 4, min = 1, max = 64, doc = "pixel_shuffle: neighbours of a side that become one token" },
    out = { type = "int", default = 2048, min = 1, max = 65536, doc = "features of a row" },
    layers = { type = "int", default = 12, min = 1, max = 64, doc = "qformer: its blocks" },
    width = { type = "int", default = 768, min = 8, max = 65536, doc = "qformer: features of a query" },
    heads = { type = "int", default = 12, min = 1, max = 256, doc = "qformer: of its attention" },
    hidden = { type = "int", default = 3072, min = 8, max = 262144, doc = "qformer: features inside the feed-forward part" },
    queries = { type = "int", default = 32, min = 1, max = 4096, doc = "qformer: rows that it gives" },
    eps = { type = "float", default = 1e-12, min = 0, max = 1, doc = "qformer: of the norms" },
    ages = { type = "bool", default = false, doc = "qformer: keys know how old their features are" },
    waves = { type = "int", default = 32, min = 1, max = 1024, doc = "qformer: that an age becomes" },
    min_period = { type = "float", default = 0.01, min = 1e-6, max = 1e6, doc = "qformer: seconds of the shortest" },
    max_period = { type = "float", default = 10.0, min = 1e-6, max = 1e6, doc = "qformer: seconds of the longest" },
    prefix = { type = "string", default = "", doc = "qformer: what stands before its names" },
  },
  graphs = function(p)
    return { connector = function(g)
      local given = setmetatable({}, { __index = p })
      local x = g:input("features", ("f32[B,%d,%d]"):format(p.tokens, p.features))
      given.batch = "B"
      if p.kind == "pixel_shuffle" then given.width = p.features end
      if p.kind == "qformer" then given.age = p.ages and g:input("age", ("f32[%d]"):format(p.tokens)) or false end
      g:output("rows", kinds[p.kind](g, x, given))
    end }
  end,
}
