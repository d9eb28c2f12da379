-- openvla.lua: OpenVLA: two towers see one picture, a projector puts what they saw into the text of Llama 2, and the text goes on
-- with tokens that are actions. Kim et al. 2024; prismatic/extern/hf of its code for the order of things.
-- OpenVLA-OFT (Kim et al. 2025) reads all at once and gives the next actions, a chunk of them, with a head of its own: openvla_oft.lua.
local llama, vit, connectors, image = require "llama", require "vit", require "connectors", require "image"
local answer, body, oft = require "answer", require "body", require "openvla_oft"

local options = {}
local function preset(name, value)
  local o = {}
  for k, v in pairs(llama.options[name]) do o[k] = v end
  o.default, options[name] = value, o
end
for name in pairs(llama.options) do preset(name, llama.options[name].default) end
body.options(answer.options(options))
options.says = nil -- as many as an action has numbers
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
options.cameras = { type = "int", default = 1, min = 1, max = 8, doc = "OFT: pictures that it sees" }
options.proprio = { type = "int", default = 0, min = 0, max = 1024, doc = "OFT: numbers that the robot knows of itself; 0: it is not asked" }
options.proprio_low = { type = "list", of = "float", optional = true, doc = "OFT: what such a number is at -1 (q01)" }
options.proprio_high = { type = "list", of = "float", optional = true, doc = "at 1 (q99)" }

for name, doc in pairs { height = "pixels of the pictures that come; 0: any, or of a text that is told those that the towers see", picture_width = "and across" } do
  options[name] = { type = "int", default = 0, min = 0, max = 65536, doc = doc }
end

local graphs = {}

local function size(p) return p.height > 0 and p.height or p.image, p.picture_width > 0 and p.picture_width or p.image end

-- Pictures of any size, squashed to squares as Pillow does, once for each tower in its own colours.
function graphs.image(g, p)
  local side, seen, of = p.image, { axis = 0 }, p.told and ("u8[%d,%d,3]"):format(size(p)) or "u8[H,W,3]"
  for v = 1, p.cameras do
    local picture = g:input(p.cameras > 1 and "picture" .. v or "picture", of)
    local small = image.of(g, g.resize { picture, size = { side }, mode = "bicubic", antialias = true }, { side, side })
    if p.crop < 1 then small = small:crop_area(p.crop) end
    for _, t in ipairs(TOWERS) do seen[#seen + 1] = small:normalise(t.colours) end
  end
  g:output("pixels", g.reshape { g.concat(seen), shape = { p.cameras, 6, side, side } })
end

-- Pictures to rows.
function graphs.vision(g, p)
  local pixels, seen = g:input("pixels", ("f32[%d,6,%d,%d]"):format(p.cameras, p.image, p.image)), {}
  for i, t in ipairs(TOWERS) do
    local function of(what) return p[t.name .. "_" .. what] end
    local is_dino = t.name == "dino"
    seen[i] = vit.encode(g, g.slice { pixels, axis = 1, start = 3 * (i - 1), stop = 3 * i }, {
      image = p.image, patch = p.patch, width = of "width", layers = of "layers", heads = of "heads", hidden = of "hidden", registers = of "registers",
      class = is_dino, class_position = false, layer_scale = is_dino, feature = -2, post_norm = false, attention = p.attention, names = "openvla", prefix = t.prefix,
    }, p.cameras)
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

-- In a schedule: the same seven tokens as those that evla.generate chooses, or OFT's actions, of a text that is known.
local function scheduled(p, out)
  if not p.low then return out end
  local height, width = size(p)
  local takes = { image = { "picture", height = height, width = width, apart = p.cameras > 1 and p.cameras or nil }, answer = { n = #p.low } }
  if p.chunk > 0 then
    local text = oft.text(p)
    takes.answer.rows, takes.words, takes.state = p.chunk, { "ids", n = #text }, p.proprio > 0 and { "proprio", n = p.proprio } or nil
    return body.graphs(setmetatable({ told = text }, { __index = p }), takes, out)
  end
  local patches = (p.image // p.patch) * (p.image // p.patch)
  return body.graphs(p, takes, answer.graphs(p, patches, #p.low, p.words - p.bins, p.words - 1, out))
end

return {
  options = options,
  graphs = function(p)
    local out = llama.graphs(p)
    for name, build in pairs(graphs) do
      if (name ~= "action" or p.low) and (name ~= "known" or p.answer > 0) then out[name] = function(g) build(g, p) end end
    end
    if p.chunk > 0 then out.chunk = function(g) oft.chunk(g, p, function(x) return scaled(g, p, x) end) end end
    return scheduled(p, out)
  end,
}
