-- mobilevlm_v2.lua: MobileVLM V2: CLIP sees a picture, LDPv2 halves each side of what it saw, and MobileLLaMA reads it in its text.
-- Chu et al. 2024; its code for the order of things. Names as in the published folder or in llama.cpp's pair of GGUF files.
local llama, vit, connectors, image = require "llama", require "vit", require "connectors", require "image"
local answer, body = require "answer", require "body"

local options = {}
local function preset(name, value)
  local o = {}
  for k, v in pairs(llama.options[name]) do o[k] = v end
  o.default, options[name] = value, o
end
for name in pairs(llama.options) do preset(name, llama.options[name].default) end
body.options(answer.options(options))
for name, value in pairs { layers = 24, heads = 16, kv_heads = 16, head = 128, rope_dims = 128, eps = 1e-6, names = "hf", rows = true } do preset(name, value) end

for name, o in pairs {
  image = { 336, "pixels of a side that the tower sees" }, patch = { 14, "pixels of a patch's side" }, vision_width = { 1024, "features of the tower" },
  vision_layers = { 24, "its blocks; all but the last are run" }, vision_heads = { 16, "its attention heads" },
  vision_hidden = { 4096, "features inside its feed-forward part" }, height = { 336, "pixels of the pictures that come" }, picture_width = { 336, "and across" },
} do options[name] = { type = "int", default = o[1], min = 1, max = 65536, doc = o[2] } end
options.vision_eps = { type = "float", default = 1e-5, min = 0, max = 1, doc = "of the tower's norms" }
options.swapped = { type = "bool", default = false, doc = "the tower's ffn_up and ffn_down have each other's names, as older mmproj files have them" }

local PLACES = {
  hf = { vision = "model.vision_tower.vision_tower.vision_model.", "model.mm_projector.mlp.mlp.0", "model.mm_projector.mlp.mlp.2", "model.mm_projector.peg.peg.0" },
  gguf = { vision = "v.", "mm.model.mlp.0", "mm.model.mlp.2", "mm.model.peg.0" },
}
local MEAN = { 122, 116, 104 } -- CLIP's mean colour

-- In the middle of a square of the mean colour, as Pillow makes it smaller.
local function prepare(g, p)
  local square = image.input(g, "picture", { p.height, p.picture_width }):square(MEAN)
  local pixels = square:shortest_edge(p.image):crop(p.image, p.image):normalise "clip"
  g:output("pixels", g.reshape { pixels, shape = { 1, 3, p.image, p.image } })
end

local function vision(g, p)
  local names = PLACES[p.names]
  local seen = vit.encode(g, g:input("pixels", ("f32[1,3,%d,%d]"):format(p.image, p.image)), {
    image = p.image, patch = p.patch, width = p.vision_width, layers = p.vision_layers, heads = p.vision_heads, hidden = p.vision_hidden,
    eps = p.vision_eps, activation = "quick_gelu", patch_bias = false, pre_norm = true, feature = -2, post_norm = false, attention = p.attention,
    names = p.names, prefix = names.vision, swapped = p.swapped,
  }, 1)
  local rows = connectors.ldpv2(g, seen, { names = names, side = p.image // p.patch, out = p.width })
  g:output("rows", g.reshape { rows, shape = { -1, p.width } })
end

return {
  options = options,
  graphs = function(p)
    local out = llama.graphs(p)
    out.image = function(g) prepare(g, p) end
    out.vision = function(g) vision(g, p) end
    if p.answer > 0 then out.known = function(g) llama.known(g, p, p.answer) end end
    local side = (p.image // p.patch + 1) // 2 -- of what LDPv2 leaves
    answer.graphs(p, side * side, p.says, 0, p.vocabulary - 1, out)
    return body.graphs(p, { image = { "picture", height = p.height, width = p.picture_width } }, out)
  end,
}
