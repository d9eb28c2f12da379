-- vit.lua: vision transformers, from planes of colour to one row of features for each patch.
-- Dosovitskiy et al. 2021; CLIP (Radford et al. 2021), SigLIP (Zhai et al. 2023), DINOv2 with registers (Darcet et al. 2024): they
-- differ in numbers, names, and in what stands before the patches. Other model files call it: require "vit".encode(g, pixels, options).

-- Where weights lie, by who wrote the file: Hugging Face, timm, timm as OpenVLA keeps it, llama.cpp's mmproj files, vla.cpp.
local function timm(scale)
  return { prefix = "", patch = "patch_embed.proj", class = "cls_token", registers = "reg_token", positions = "pos_embed", pre = "norm_pre",
           layer = "blocks.%d.%s", norm1 = "norm1", qkv = "attn.qkv", o = "attn.proj", norm2 = "norm2", fc1 = "mlp.fc1", fc2 = "mlp.fc2",
           scale1 = "ls1." .. scale, scale2 = "ls2." .. scale, post = "norm", head = "head" }
end
local NAMES = {
  hf = { prefix = "vision_model.", patch = "embeddings.patch_embedding", class = "embeddings.class_embedding", positions = "embeddings.position_embedding.weight",
         pre = "pre_layrnorm", layer = "encoder.layers.%d.%s", norm1 = "layer_norm1", q = "self_attn.q_proj", k = "self_attn.k_proj", v = "self_attn.v_proj",
         o = "self_attn.out_proj", norm2 = "layer_norm2", fc1 = "mlp.fc1", fc2 = "mlp.fc2", post = "post_layernorm" },
  timm = timm "gamma", openvla = timm "scale_factor",
  gguf = { prefix = "v.", patch = "patch_embd", class = "class_embd", positions = "position_embd.weight", pre = "pre_ln", layer = "blk.%d.%s", norm1 = "ln1",
           q = "attn_q", k = "attn_k", v = "attn_v", o = "attn_out", norm2 = "ln2", fc1 = "ffn_up", fc2 = "ffn_down", post = "post_ln" },
  vla = { prefix = "vit.", patch = "patch_embd", positions = "pos_embd", layer = "blk.%d.%s", norm1 = "ln1", q = "attn_q", k = "attn_k", v = "attn_v",
          o = "attn_o", norm2 = "ln2", fc1 = "fc1", fc2 = "fc2", post = "post_ln" },
}

local options = {
  image = { type = "int", default = 224, min = 1, max = 8192, doc = "pixels of a side" },
  patch = { type = "int", default = 16, min = 1, max = 256, doc = "pixels of a patch's side" },
  width = { type = "int", default = 768, min = 8, max = 65536, doc = "features of a token" },
  layers = { type = "int", default = 12, min = 1, max = 512, doc = "blocks of the model" },
  heads = { type = "int", default = 12, min = 1, max = 1024, doc = "attention heads; they share the width" },
  hidden = { type = "int", default = 3072, min = 8, max = 262144, doc = "features inside the feed-forward part" },
  eps = { type = "float", default = 1e-6, min = 0, max = 1, doc = "of the norms" },
  attention = { type = "enum", default = "plain", choices = { "plain", "bf16" }, doc = "what attention's products are rounded to" },
  activation = { type = "enum", default = "gelu", choices = { "gelu", "gelu_tanh", "quick_gelu" }, doc = "inside the feed-forward part" },
  class = { type = "bool", default = true, doc = "a class token stands before the patches" },
  class_position = { type = "bool", default = true, doc = "it has a position of its own; otherwise patches alone do" },
  registers = { type = "int", default = 0, min = 0, max = 1024, doc = "register tokens behind the class token" },
  patch_bias = { type = "bool", default = true, doc = "the patches' linear has a bias" },
  pre_norm = { type = "bool", default = false, doc = "a norm before the first block" },
  layer_scale = { type = "bool", default = false, doc = "what a block adds is scaled, feature by feature" },
  feature = { type = "int", default = -1, min = -512, max = -1, doc = "which block's output is wanted; -1: the last one's. Later ones are not built" },
  post_norm = { type = "bool", default = true, doc = "a norm behind it" },
  patches_only = { type = "bool", default = true, doc = "the class token and registers are left out of the features" },
  classes = { type = "int", default = 0, min = 0, max = 1 << 20, doc = "a linear of the class token in their place" },
  names = { type = "enum", default = "hf", choices = { "hf", "timm", "openvla", "gguf", "vla" }, doc = "how weights are called" },
  prefix = { type = "string", optional = true, doc = "what their names begin with, where it is not what those files have" },
  swapped = { type = "bool", default = false, doc = "fc1 and fc2 have each other's names, as in older mmproj files" },
}

-- pixels f32[batch,3,image,image], normalised -> features f32[batch,tokens,width], or f32[batch,classes]. given: some of the options.
local function encode(g, pixels, given, batch)
  local p = {}
  for name, o in pairs(options) do if given[name] == nil then p[name] = o.default else p[name] = given[name] end end
  local n, side, width = NAMES[p.names], p.image // p.patch, p.width
  local prefix = p.prefix or n.prefix
  if p.image % p.patch ~= 0 then error(("vit: image is %d; want a multiple of patch, %d"):format(p.image, p.patch), 0) end
  if p.layers + p.feature < 0 then error(("vit: feature is %d; there are %d layers"):format(p.feature, p.layers), 0) end
  local function weight(name, ...) return g:weight(prefix .. name, "f32[" .. table.concat({ ... }, ",") .. "]") end
  local function linear(x, name, out) return g.linear { x, w = prefix .. name .. ".weight", b = weight(name .. ".bias", out), out = out } end
  local function norm(x, name)
    return g.layer_norm { x, w = g:weight(prefix .. name .. ".weight", ("f32[%d]"):format(width), "ones"), b = weight(name .. ".bias", width), eps = p.eps }
  end
  local function tokens(name, count) return g.broadcast { weight(name, count, width), shape = { batch or "N", count, width } } end

  -- a convolution whose windows do not overlap is a linear of each window
  local cut = g.transpose { g.reshape { pixels, shape = { -1, 3, side, p.patch, side, p.patch } }, perm = { 0, 2, 4, 1, 3, 5 } }
  local count, numbers = side * side, 3 * p.patch * p.patch
  local x = g.linear { g.reshape { cut, shape = { -1, count, numbers } }, w = g:weight(prefix .. n.patch .. ".weight", ("[%d,%d]"):format(width, numbers)),
                       b = p.patch_bias and weight(n.patch .. ".bias", width) or nil, out = width }
  local before, alone = (p.class and 1 or 0) + p.registers, p.class and not p.class_position
  if alone then x = g.add { x, weight(n.positions, count, width) } end
  if p.registers > 0 then x = g.concat { tokens(n.registers, p.registers), x, axis = 1 } end
  if p.class then x = g.concat { tokens(n.class, 1), x, axis = 1 } end
  if not alone then x = g.add { x, weight(n.positions, before + count, width) } end
  if p.pre_norm then x = norm(x, n.pre) end

  local function activated(h)
    if p.activation == "quick_gelu" then return g.mul { g.silu(g.mul { h, 1.702 }), 1 / 1.702 } end -- x sigmoid(1.702 x)
    return g.gelu { h, approximate = p.activation == "gelu_tanh" and "tanh" or "none" }
  end
  local fc1, fc2 = p.swapped and n.fc2 or n.fc1, p.swapped and n.fc1 or n.fc2
  for i = 0, p.layers + p.feature do
    local function named(part) return n.layer:format(i, part) end
    local function added(to, y, scale) return g.add { to, p.layer_scale and g.mul { y, weight(named(scale), width) } or y } end
    local h = norm(x, named(n.norm1))
    local qkv = n.qkv and linear(h, named(n.qkv), 3 * width)
    local function part(j, name) return qkv and g.slice { qkv, axis = -1, start = j * width, stop = (j + 1) * width } or linear(h, named(name), width) end
    local a = g.attention { part(0, n.q), part(1, n.k), part(2, n.v), heads = p.heads, products = p.attention }
    x = added(x, linear(a, named(n.o), width), n.scale1)
    x = added(x, linear(activated(linear(norm(x, named(n.norm2)), named(fc1), p.hidden)), named(fc2), width), n.scale2)
  end
  if p.classes > 0 then x = g.slice { x, axis = 1, start = 0, stop = 1 } end
  if p.post_norm then x = norm(x, n.post) end
  if p.classes > 0 then return g.reshape { linear(x, n.head, p.classes), shape = { -1, p.classes } } end
  return p.patches_only and before > 0 and g.slice { x, axis = 1, start = before, stop = 0 } or x
end

local function graphs(p)
  return { vision = function(g) g:output("features", encode(g, g:input("pixels", ("f32[N,3,%d,%d]"):format(p.image, p.image)), p)) end }
end

return { options = options, encode = encode, graphs = graphs }
