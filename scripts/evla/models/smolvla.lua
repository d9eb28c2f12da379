-- smolvla.lua: a vision-language-action model whose action expert reads the language model's keys and values layer by layer.
-- Shukor et al. 2025 (arXiv 2506.01844) as lerobot computes it: SigLIP, pixel shuffle, the first layers of SmolLM2, and flow
-- matching by an expert of as many layers, where every second one attends to what the language model left and nothing else.
local attend, body, denoise, image, names, vit = require "attend", require "body", require "denoise", require "image", require "smolvla_names", require "vit"

local function int(default, doc) return { type = "int", default = default, min = 1, max = 1 << 24, doc = doc } end
local function real(default, min, max, doc) return { type = "float", default = default, min = min, max = max, doc = doc } end
local function flag(doc) return { type = "bool", default = false, doc = doc } end
local function numbers(doc) return { type = "list", of = "float", doc = doc } end

local function graphs(p)
  local n, kv = names[p.names], p.kv_heads * p.head
  local side = p.image // p.patch // p.shuffle -- of the grid of image tokens
  local seen, self_attends = p.cameras * side * side, function(i) return i % p.self_every == 0 end
  local rows = seen + p.tokens + 1 -- images, words, state

  local function linear(g, x, name, from, to) -- the small ones around the towers stay f32
    name = n.head:format(name)
    return g.linear { x, w = g:weight(name .. ".weight", ("f32[%d,%d]"):format(to, from)), b = g:weight(name .. ".bias", ("f32[%d]"):format(to)) }
  end
  local function const(g, list) return g:const(("f32[%d]"):format(#list), list) end
  local function spread(g, of) return g.add { const(g, p[of .. "_std"]), p.std_eps } end
  local function normal(g, x, of) return g.div { g.sub { x, const(g, p[of .. "_mean"]) }, spread(g, of) } end
  -- A graph's view of one tower: its layers' norms, projections and feed-forward part.
  local function tower(g, names, width, hidden)
    local t = {}
    local function weight(i, part) return names:format(i, n[part]) end
    function t.norm(x, i, part) return g.rms_norm { x, w = g:weight(i and weight(i, part) or part, ("f32[%d]"):format(width), "ones"), eps = 1e-5 } end
    function t.linear(x, i, part, out) return g.linear { x, w = weight(i, part), out = out } end
    function t.turned(x, i, part, heads, angles) return g.rope { t.linear(x, i, part, heads * p.head), angles[1], angles[2], heads = heads } end
    function t.rest(x, i, a) -- what follows attention
      x = g.add { x, t.linear(a, i, "o", width) }
      local h = t.norm(x, i, "norm2")
      return g.add { x, t.linear(g.mul { g.silu(t.linear(h, i, "gate", hidden)), t.linear(h, i, "up", hidden) }, i, "down", width) }
    end
    return t
  end
  local function attention(g, q, k, v, mask, causal) return g.attention { q, k, v, mask, heads = p.heads, kv_heads = p.kv_heads, causal = causal, products = p.attention } end
  local function angles(g, at) return { g.rope_angles { at, dims = p.head, base = 10000 } } end -- not the language model's own base
  local function tap(g, name, x, ...) if p.inner then g:output(name, select("#", ...) > 0 and g.reshape { x, shape = { ... } } or x) end end

  return body.graphs(p, {
    image = { "images", side = p.image, cameras = p.cameras }, words = { "tokens", n = p.tokens }, state = { "state", n = p.state },
    answer = { rows = p.chunk, n = #p.action_mean },
  }, {
    image = function(g)
      local function sized(camera) return camera:resize_with_pad(p.image, p.image):normalise "siglip" end
      g:output("pixels", p.sizes and p.sizes[1] and image.cameras(g, p.sizes, sized) or image.input(g, "images", { p.cameras, p.image, p.image }):normalise "siglip")
    end,
    vision = function(g)
      local pixels = g:input("pixels", ("f32[%d,3,%d,%d]"):format(p.cameras, p.image, p.image))
      local x = vit.encode(g, pixels, { names = n.names, prefix = n.prefix, image = p.image, patch = p.patch, width = p.vit_width, layers = p.vit_layers,
        heads = p.vit_heads, hidden = p.vit_hidden, eps = p.vit_eps, activation = "gelu_tanh", attention = p.attention, class = false }, p.cameras)
      local s, wide = p.shuffle, p.shuffle * p.shuffle * p.vit_width
      local cut = g.transpose { g.reshape { x, shape = { p.cameras, side, s, side, s, p.vit_width } }, perm = { 0, 1, 3, 2, 4, 5 } }
      local y = g.linear { g.reshape { cut, shape = { seen, wide } }, w = n.fc .. ".weight", out = p.width }
      g:output("img_emb", y)
      for c = 0, p.cameras - 1 do
        tap(g, "vit_out_v" .. c, g.slice { x, axis = 0, start = c, stop = c + 1 }, side * side * s * s, p.vit_width)
        tap(g, "img_emb_v" .. c, g.slice { y, axis = 0, start = c * side * side, stop = (c + 1) * side * side })
      end
    end,
    prefix = function(g)
      local words = g.embedding { n.embed .. ".weight", g:input("tokens", ("i32[%d]"):format(p.tokens)), num_embeddings = p.vocabulary, embedding_dim = p.width }
      local state = g.slice { g:input("state", ("f32[%d]"):format(p.state)), axis = 0, start = 0, stop = #p.state_mean }
      state = g.reshape { g.pad { normal(g, state, "state"), axis = 0, after = p.state - #p.state_mean }, shape = { 1, p.state } }
      local seen_and_read = g.mul { g.concat { g:input("img_emb", ("f32[%d,%d]"):format(seen, p.width)), words, axis = 0 }, math.sqrt(p.width) }
      local x = g.concat { seen_and_read, linear(g, state, "state_proj", p.state, p.width), axis = 0 }
      tap(g, "prefix_embs", x)
      local rank, valid = {}, nil for i = 1, rows do rank[i] = i == rows and 1 or 0 end -- only the state sees itself, and it sees everything
      if p.masked then
        local here = g.broadcast { g.reshape { g:input("image_mask", ("bool[%d]"):format(p.cameras)), shape = { p.cameras, 1 } }, shape = { p.cameras, side * side } }
        valid = g.concat { g.reshape { here, shape = { seen } }, g:input("token_mask", ("bool[%d]"):format(p.tokens)), g:const("bool[1]", { 1 }), axis = 0 }
        g:output("valid", valid)
      end
      local mask, at = attend.ranked(g, rank, valid), angles(g, attend.positions(g, rows, valid))
      local lm, expert = tower(g, n.lm, p.width, p.hidden), tower(g, n.expert, p.expert, p.expert_hidden)
      for i = 0, p.layers - 1 do
        local h = lm.norm(x, i, "norm1")
        local k, v = lm.turned(h, i, "k", p.kv_heads, at), lm.linear(h, i, "v", kv)
        tap(g, "k_cache_l" .. i, k, rows, p.kv_heads, p.head) tap(g, "v_cache_l" .. i, v, rows, p.kv_heads, p.head)
        local xk, xv = k, v
        if not self_attends(i) then
          xk, xv = expert.linear(k, i, "k", kv), expert.linear(v, i, "v", kv)
          tap(g, "xk_l" .. i, xk, rows, p.kv_heads, p.head) tap(g, "xv_l" .. i, xv, rows, p.kv_heads, p.head)
        end
        g:output("k." .. i, xk) g:output("v." .. i, xv)
        if i < p.layers - 1 then -- of the last layer nothing but keys and values is read
          x = lm.rest(x, i, attention(g, lm.turned(h, i, "q", p.heads, at), k, v, mask))
          tap(g, ("vlm_l%d_out"):format(i), x)
        end
      end
    end,
    expert = function(g)
      local step, times = denoise.step(g), denoise.waves(denoise.times(p.steps), p.expert // 2, function(t, part)
        return 2 * math.pi * t / (p.min_period * (p.max_period / p.min_period) ^ part)
      end)
      local x_t = g:input("x_t", ("f32[%d,%d]"):format(p.chunk, p.action)) -- noise at first
      local time = denoise.row(g, g:const(("f32[%d,1,%d]"):format(p.steps, p.expert), times), step)
      local x = g.concat { linear(g, x_t, "action_in_proj", p.action, p.expert), g.broadcast { time, shape = { p.chunk, p.expert } }, axis = -1 }
      x = linear(g, g.silu(linear(g, x, "action_time_mlp_in", 2 * p.expert, p.expert)), "action_time_mlp_out", p.expert, p.expert)
      tap(g, "suffix_embs", x)
      local t, valid = tower(g, n.expert, p.expert, p.expert_hidden), p.masked and g:input("valid", ("bool[%d]"):format(rows))
      local behind, own = angles(g, attend.behind(g, rows, p.chunk, valid)), angles(g, attend.positions(g, p.chunk))
      local to_all, to_seen = attend.taken(g, rows, valid, p.chunk), attend.taken(g, rows, valid, 0)
      for i = 0, p.layers - 1 do
        local cached = ("f32[%d,%d]"):format(rows, kv)
        local h, k, v = t.norm(x, i, "norm1"), g:input("k." .. i, cached), g:input("v." .. i, cached)
        local q, all = t.turned(h, i, "q", p.heads, self_attends(i) and behind or own), self_attends(i)
        if all then k, v = g.concat { k, t.turned(h, i, "k", p.kv_heads, behind), axis = 0 }, g.concat { v, t.linear(h, i, "v", kv), axis = 0 } end
        x = t.rest(x, i, attention(g, q, k, v, all and to_all or to_seen, all))
        tap(g, ("aex_l%d_out"):format(i), x)
      end
      local v_t = linear(g, t.norm(x, nil, n.last .. ".weight"), "action_out_proj", p.expert, p.action)
      if p.previous ~= "none" then -- an answer that keeps to what is played of the one before while it is made
        local n, keep = #p.action_mean, g.reshape { g:input("previous_weight", ("f32[%d]"):format(p.chunk)), shape = { p.chunk, 1 } }
        local before = normal(g, g:input("previous", ("f32[%d,%d]"):format(p.chunk, n)), "action")
        local function wide(x) return g.pad { x, axis = 1, after = p.action - n } end
        v_t = denoise[p.previous](g, x_t, v_t, step, p.steps, wide(before), wide(g.broadcast { keep, shape = { p.chunk, n } }), p.guidance)
      end
      x_t = denoise.flow(g, x_t, v_t, p.steps)
      tap(g, "v_t", v_t) g:output("x_t", x_t)
      g:output("action", g.add { g.mul { g.slice { x_t, axis = 1, start = 0, stop = #p.action_mean }, spread(g, "action") }, const(g, p.action_mean) })
    end,
  })
end

return {
  options = body.options {
    cameras = int(2, "images of a call"), image = int(512, "pixels of a side"), patch = int(16, "pixels of a patch's side"),
    vit_width = int(768, "features of a patch"), vit_layers = int(12, "blocks of the vision tower"), vit_heads = int(12, "its heads"),
    vit_hidden = int(3072, "features inside its feed-forward part"), vit_eps = real(1e-6, 0, 1, "of its norms"),
    shuffle = int(4, "side of the square of patches that becomes one token"), tokens = int(48, "words of the instruction"),
    width = int(960, "features of a token"), layers = int(16, "blocks of the language model and of the expert"), heads = int(15, "query heads of both"),
    kv_heads = int(5, "key and value heads of both"), head = int(64, "features of a head"), hidden = int(2560, "features inside the feed-forward part"),
    vocabulary = int(49280, "rows of the table of words"), expert = int(720, "features of the expert"), expert_hidden = int(2048, "inside its feed-forward part"),
    self_every = int(2, "every so many layers of the expert attend to the actions too"), chunk = int(50, "actions of a call"), steps = int(10, "times the expert runs"),
    state = int(32, "most numbers of the robot's own state"), action = int(32, "most numbers of an action"),
    min_period = real(4e-3, 1e-9, 1e9, "of the time's waves"), max_period = real(4.0, 1e-9, 1e9, "of the time's waves"),
    std_eps = real(1e-8, 0, 1, "is added to spreads before they divide"), state_mean = numbers "of the numbers that the robot really has",
    state_std = numbers "their spread", action_mean = numbers "of the numbers that an action really has", action_std = numbers "their spread",
    attention = { type = "enum", default = "plain", choices = { "plain", "bf16" }, doc = "what attention's products are rounded to" },
    sizes = { type = "list", of = "int", optional = true, doc = "height and width of each camera's picture; none: all are of the model's size, in one tensor" },
    masked = flag "say at each call which cameras and which words there are", inner = flag "also put out what is inside, stage by stage",
    names = { type = "enum", default = "gguf", choices = { "gguf", "hf" }, doc = "how weights are called" }, guidance = real(5, 0, 1e9, "guide multiplies its correction by at most that (beta)"),
    previous = { type = "enum", default = "none", choices = { "none", "inpaint", "guide" }, doc = "how it keeps to `previous`, what the answer before has for the same moments" },
  },
  graphs = graphs,
}
