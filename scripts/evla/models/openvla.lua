-- openvla.lua: OpenVLA: two towers see one picture, a projector puts what they saw into the text of Llama 2, and the text goes on
-- with tokens that are actions. Kim et al. 2024; prismatic/extern/hf of its code for the order of things.
local llama, vit, connectors, image = require "llama", require "vit", require "connectors", require "image"

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
options.projected = { type = "int", default = 8704, min = 1, max = 262144, doc = "features of the projector's first layer" }
options.bins = { type = "int", default = 256, min = 2, max = 65536, doc = "edges that divide an action's range" }
options.words = { type = "int", default = 32000, min = 1, max = 4194304, doc = "tokens of the tokenizer; the last bins of them are actions" }
options.low = { type = "list", of = "float", optional = true, doc = "what an entry of an action is at -1 (q01); absent: there is no graph of actions" }
options.high = { type = "list", of = "float", optional = true, doc = "at 1 (q99)" }
options.scaled = { type = "list", of = "int", optional = true, doc = "1: the entry is scaled so, 0: it stays between -1 and 1" }

local graphs = {}

-- Any picture, squashed to a square as Pillow does, once for each tower in its own colours.
function graphs.image(g, p)
  local side = p.image
  local squashed = g.resize { g:input("picture", "u8[H,W,3]"), size = { side }, mode = "bicubic", antialias = true }
  local small, seen = image.of(g, squashed, { side, side }), {}
  for i, t in ipairs(TOWERS) do seen[i] = small:normalise(t.colours) end
  g:output("pixels", g.reshape { g.concat { seen[1], seen[2], axis = 0 }, shape = { 1, 6, side, side } })
end

function graphs.vision(g, p)
  local pixels, seen = g:input("pixels", ("f32[1,6,%d,%d]"):format(p.image, p.image)), {}
  for i, t in ipairs(TOWERS) do
    local function of(what) return p[t.name .. "_" .. what] end
    local is_dino = t.name == "dino"
    seen[i] = vit.encode(g, g.slice { pixels, axis = 1, start = 3 * (i - 1), stop = 3 * i }, {
      image = p.image, patch = p.patch, width = of "width", layers = of "layers", heads = of "heads", hidden = of "hidden", registers = of "registers",
      class = is_dino, class_position = false, layer_scale = is_dino, feature = -2, post_norm = false, names = "openvla", prefix = t.prefix,
    }, 1)
  end
  local both = g.concat { seen[1], seen[2], axis = 2 }
  local rows = connectors.mlp(g, both, { names = { "projector.fc1", "projector.fc2", "projector.fc3" }, widths = { p.projected, p.width, p.width } })
  g:output("rows", g.reshape { rows, shape = { -1, p.width } })
end

-- Tokens to an action: a token is a bin counted from the vocabulary's end, its middle a number in (-1, 1).
function graphs.action(g, p)
  local n, centre, a, b = #p.low, {}, {}, {}
  for i = 1, p.bins - 1 do centre[i] = -1 + (2 * i - 1) / (p.bins - 1) end
  for i = 1, n do
    local half = 0.5 * (p.high[i] - p.low[i])
    if p.scaled[i] == 1 then a[i], b[i] = half, half + p.low[i] else a[i], b[i] = 1.0, 0.0 end
  end
  local function row(v) return g:const(("f32[%d]"):format(n), v) end
  local function whole(v) return g:const("i32", v) end
  local bin = g.sub { whole(p.words - 1), g:input("ids", ("i32[%d]"):format(n)) }
  local at = g.minimum { g.maximum { bin, whole(0) }, whole(p.bins - 2) }
  local normal = g.gather { g:const(("f32[%d]"):format(p.bins - 1), centre), at, axis = 0 }
  g:output("action", g.add { g.mul { normal, row(a) }, row(b) })
end

return {
  options = options,
  graphs = function(p)
    local out = llama.graphs(p)
    for name, build in pairs(graphs) do
      if name ~= "action" or p.low then out[name] = function(g) build(g, p) end end
    end
    return out
  end,
}
