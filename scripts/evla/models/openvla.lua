-- openvla.lua: OpenVLA: two towers see one picture, a projector puts what they saw into the text of Llama 2, and the text goes on
-- with tokens that are actions. Kim et al. 2024; prismatic/extern/hf of its code for the order of things.
-- OpenVLA-OFT (Kim et al. 2025) reads all at once and gives the next actions, a chunk of them, with a head of its own: graph "chunk".
local llama, vit, connectors, image = require "llama", require "vit", require "connectors", require "image"

local MOST_TEXT = 512 -- tokens of OFT's text

local options = {}
local function preset(name, value)
  local o = {}
  for k, v in pairs(llama.options[name]) do o[k] = v end
  o.default, options[name] = value, o
end
for name in pairs(llama.options) do preset(name, llama.options[name].default) end
for name, value in pairs { layers = 32, width = 4096, heads = 32, kv_heads = 32, head = 128, rope_dims = 128, hidden = 11008, vocabulary = 32064, eps = 1e-6,
                           names = "hf", prefix = "language_model.", rows = true } do preset(name, value) end

-- The towers: DINOv2 with registers, seen by the block before the last, and SigLIP likewise.
local TOWERS = {
  { name = "dino", prefix = "vision_backbone.featurizer.", colours = "imagenet_bf16", width = 1024, layers = 24, heads = 16, hidden = 4096, registers = 4 },
  { name = "siglip", prefix = "vision_backbone.fused_featurizer.", colours = "siglip", width = 1152, layers = 27, heads = 16, hidden = 4304, registers = 0 },
}
for _, t in ipairs(TOWERS) do
  for _, what in ipairs { "width", "layers", "heads", "hidden", "registers" } do
    options[t.name .. "_" .. what] = { type = "int", default = t[what], min = 0, max = 65536, doc = ("%s of the tower %s"):format(what, t.name) }
  end
end
options.image = { type = "int", default = 224, min = 1, max = 4096, doc = "pixels of a side that the towers see" }
options.patch = { type = "int", default = 14, min = 1, max = 256, doc = "pixels of a patch's side" }
options.crop = { type = "float", default = 1.0, min = 0.01, max = 1, doc = "share of a picture's area, in its middle, that is seen: 0.9 where training cut at random" }
options.projected = { type = "int", default = 8704, min = 1, max = 262144, doc = "features of the projector's first layer" }
options.bins = { type = "int", default = 256, min = 2, max = 65536, doc = "edges that divide an action's range" }
options.words = { type = "int", default = 32000, min = 1, max = 4194304, doc = "tokens of the tokenizer; the last bins of them are actions" }
options.low = { type = "list", of = "float", optional = true, doc = "what an entry of an action is at -1 (q01); absent: there is no graph of actions" }
options.high = { type = "list", of = "float", optional = true, doc = "at 1 (q99)" }
options.scaled = { type = "list", of = "int", optional = true, doc = "1: the entry is scaled so, 0: it stays between -1 and 1" }
options.chunk = { type = "int", default = 0, min = 0, max = 256, doc = "actions that OFT gives at once; 0: its head is not there" }
options.views = { type = "int", default = 1, min = 1, max = 8, doc = "OFT: pictures that it sees" }
options.proprio = { type = "int", default = 0, min = 0, max = 1024, doc = "OFT: numbers that the robot knows of itself; 0: it is not asked" }

local graphs = {}

-- Pictures of any size, squashed to squares as Pillow does, once for each tower in its own colours.
function graphs.image(g, p)
  local side, seen = p.image, { axis = 0 }
  for v = 1, p.views do
    local picture = g:input(p.views > 1 and "picture" .. v or "picture", "u8[H,W,3]")
    local small = image.of(g, g.resize { picture, size = { side }, mode = "bicubic", antialias = true }, { side, side })
    if p.crop < 1 then small = small:crop_area(p.crop) end
    for _, t in ipairs(TOWERS) do seen[#seen + 1] = small:normalise(t.colours) end
  end
  g:output("pixels", g.reshape { g.concat(seen), shape = { p.views, 6, side, side } })
end

-- Pictures to rows.
function graphs.vision(g, p)
  local pixels, seen = g:input("pixels", ("f32[%d,6,%d,%d]"):format(p.views, p.image, p.image)), {}
  for i, t in ipairs(TOWERS) do
    local function of(what) return p[t.name .. "_" .. what] end
    local is_dino = t.name == "dino"
    seen[i] = vit.encode(g, g.slice { pixels, axis = 1, start = 3 * (i - 1), stop = 3 * i }, {
      image = p.image, patch = p.patch, width = of "width", layers = of "layers", heads = of "heads", hidden = of "hidden", registers = of "registers",
      class = is_dino, class_position = false, layer_scale = is_dino, feature = -2, post_norm = false, attention = p.attention, names = "openvla", prefix = t.prefix,
    }, p.views)
  end
  local both = g.concat { seen[1], seen[2], axis = 2 }
  local projected = connectors.mlp(g, both, { names = { "projector.fc1", "projector.fc2", "projector.fc3" }, widths = { p.projected, p.width, p.width } })
  g:output("rows", g.reshape { projected, shape = { -1, p.width } })
end

-- Numbers between -1 and 1, [...,entries], in the robot's own units.
local function scaled(g, p, x)
  local a, b = {}, {}
  for i = 1, #p.low do
    local half = 0.5 * (p.high[i] - p.low[i])
    if p.scaled[i] == 1 then a[i], b[i] = half, half + p.low[i] else a[i], b[i] = 1.0, 0.0 end
  end
  local function row(v) return g:const(("f32[%d]"):format(#v), v) end
  return g.add { g.mul { x, row(a) }, row(b) }
end

-- Tokens to an action: a token is a bin counted from the vocabulary's end, its middle a number in (-1, 1).
function graphs.action(g, p)
  local centre = {}
  for i = 1, p.bins - 1 do centre[i] = -1 + (2 * i - 1) / (p.bins - 1) end
  local function whole(v) return g:const("i32", v) end
  local bin = g.sub { whole(p.words - 1), g:input("ids", ("i32[%d]"):format(#p.low)) }
  local at = g.minimum { g.maximum { bin, whole(0) }, whole(p.bins - 2) }
  local normal = g.gather { g:const(("f32[%d]"):format(p.bins - 1), centre), at, axis = 0 }
  g:output("action", scaled(g, p, normal))
end

-- A text with an action's tokens in it: the one that the model itself would choose at each of them.
function graphs.known(g, p)
  local logits, bins = llama.known(g, p, #p.low), p.bins
  local own, middle = g.slice { logits, axis = 1, start = p.words - bins, stop = p.words }, {}
  for i = 1, bins do middle[i] = -1 + (2 * math.min(bins - i, bins - 2) + 1) / (bins - 1) end -- the last token is the first bin
  local is_less = g.less { own, g.reduce_max { own, axes = { 1 }, keepdims = true } }
  local chosen = g.where { is_less, g:const("f32", 0), g:const(("f32[%d]"):format(bins), middle) }
  g:output("action", scaled(g, p, g.reduce_sum { chosen, axes = { 1 } }))
end

-- OFT: [BOS, what is seen, proprio, the rest of the text, an empty row for each number, the text's end], each seeing all. What stands
-- before each empty row is read by a head of residual blocks: 7 rows side by side are one action. ids i32[T] begin with BOS.
function graphs.chunk(g, p)
  local function norm(x, name, width)
    local type = ("f32[%d]"):format(width)
    return g.layer_norm { x, w = g:weight(name .. ".weight", type, "ones"), b = g:weight(name .. ".bias", type) }
  end
  local entries, ids = #p.low, g:input("ids", "i32[T]")
  local text, n_seen = llama.embed(g, p, ids), p.views * (p.image // p.patch) * (p.image // p.patch)
  local seen = g:input("rows", ("f32[%d,%d]"):format(n_seen, p.width))
  local parts = { axis = 0, g.slice { text, axis = 0, start = 0, stop = 1 }, seen }
  if p.proprio > 0 then
    local known = g:input("proprio", ("f32[1,%d]"):format(p.proprio))
    parts[3] = connectors.mlp(g, known, { names = { "proprio_projector.fc1", "proprio_projector.fc2" }, widths = { p.width, p.width } })
  end
  local n, before = p.chunk * entries, n_seen + (p.proprio > 0 and 1 or 0)
  parts[#parts + 1] = g.slice { text, axis = 0, start = 1, stop = 0 }
  parts[#parts + 1] = g.fill { shape = { n, p.width }, value = 0 }
  parts[#parts + 1] = llama.embed(g, p, g:const("i32[1]", { 2 }))
  local places = {}
  for i = 1, before + n + MOST_TEXT do places[i] = i - 1 end
  local position = g.slice { g:const(("i32[%d]"):format(#places), places), axis = 0, start = 0, stop = ("T+%d"):format(before + n + 1) }
  local hidden = llama.whole(g, p, g.concat(parts), position)
  local own = g.slice { hidden, axis = 0, start = ("T+%d"):format(before - 1), stop = ("T+%d"):format(before - 1 + n) }
  local x = norm(g.reshape { own, shape = { p.chunk, entries * p.width } }, "action_head.model.layer_norm1", entries * p.width)
  local function linear(y, name, out) return connectors.mlp(g, y, { names = { "action_head.model." .. name }, widths = { out } }) end
  x = g.relu(linear(x, "fc1", p.width))
  for i = 0, 1 do
    local block = ("mlp_resnet_blocks.%d.ffn."):format(i)
    x = g.add { x, g.relu(linear(norm(x, "action_head.model." .. block .. "0", p.width), block .. "1", p.width)) }
  end
  g:output("action", scaled(g, p, linear(norm(x, "action_head.model.layer_norm2", p.width), "fc2", entries)))
end

return {
  options = options,
  graphs = function(p)
    local out = llama.graphs(p)
    for name, build in pairs(graphs) do
      if (name ~= "action" or p.low) and (name ~= "chunk" or p.chunk > 0) and (name ~= "known" or p.answer > 0) then out[name] = function(g) build(g, p) end end
    end
    return out
  end,
}
