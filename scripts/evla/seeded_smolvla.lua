-- seeded_smolvla.lua: SmolVLA files of drawn weights (see seeded.lua), as vla.cpp's converter writes them: sizes, the keys that its
-- loader looks for, each in the type that it reads, and the tensors that it copies though no graph here reads them, or that it wants in a shape of its own.
local smolvla = { method = "smollm", vocabulary = 49280 }

-- Options of models/smolvla.lua; numbers: how many the robot really has.
smolvla.sizes = {
  smolvla = { image = 512, patch = 16, shuffle = 4, vit_width = 768, vit_layers = 12, vit_heads = 12, vit_hidden = 3072, width = 960, layers = 16, heads = 15,
    kv_heads = 5, head = 64, hidden = 2560, expert = 720, expert_hidden = 2048, chunk = 50, steps = 10, numbers = { state = 6, action = 6 } },
  ["smolvla-tiny"] = { image = 128, patch = 16, shuffle = 4, vit_width = 64, vit_layers = 2, vit_heads = 4, vit_hidden = 256, width = 128, layers = 4, heads = 2,
    kv_heads = 1, head = 64, hidden = 320, expert = 96, expert_hidden = 256, chunk = 10, steps = 4, numbers = { state = 8, action = 7 } },
}

local function f64(x) return { x, as = "f64" } end

function smolvla.says(p)
  local side = p.image // p.patch // p.shuffle
  local out = { architecture = "smolvla", hidden = p.width, intermediate = p.hidden, n_q_heads = p.heads, n_kv_heads = p.kv_heads, head_dim = p.head,
    n_layers = p.layers, vocab_size = smolvla.vocabulary, expert_h = p.expert, expert_inter = p.expert_hidden, expert_width_multiplier = f64(p.expert / p.width),
    chunk_size = p.chunk, num_steps = p.steps, max_state_dim = 32, max_action_dim = 32, real_state_dim = p.numbers.state, real_action_dim = p.numbers.action,
    self_attn_every_n_layers = 2, tokenizer_max_length = 48, min_period = f64(4e-3), max_period = f64(4.0), norm_eps = 1e-8, vit_hidden = p.vit_width,
    vit_layers = p.vit_layers, vit_heads = p.vit_heads, vit_inter = p.vit_hidden, image_size = p.image, patch_size = p.patch, vit_pixel_shuffle = p.shuffle,
    n_img_tokens = side * side, vit_ln_eps = 1e-6 }
  local keys = {}
  for name, v in pairs(out) do keys["smolvla." .. name] = v end
  return keys
end

-- Statistics of means 0 and spreads 1, and of the language model what stands behind the last keys and values.
function smolvla.others(p)
  local out, last = {}, "vlm.blk." .. p.layers - 1 .. "."
  local function add(name, init, ...) out[#out + 1] = { name, ("f32[%s]"):format(table.concat({ ... }, ",")), init } end
  for _, what in ipairs { "state", "action" } do
    add(what .. "_mean", "zeros", p.numbers[what])
    add(what .. "_std", "ones", p.numbers[what])
  end
  add("vit.patch_embd.weight", ("uniform:%g"):format(1 / math.sqrt(3 * p.patch ^ 2)), p.vit_width, 3, p.patch, p.patch) -- a convolution's
  add(last .. "attn_q.weight", nil, p.heads * p.head, p.width)
  add(last .. "attn_o.weight", nil, p.width, p.heads * p.head)
  add(last .. "ffn_norm.weight", "ones", p.width)
  add(last .. "ffn_gate.weight", nil, p.hidden, p.width)
  add(last .. "ffn_up.weight", nil, p.hidden, p.width)
  add(last .. "ffn_down.weight", nil, p.width, p.hidden)
  add("vlm.output_norm.weight", "ones", p.width)
  return out
end

return smolvla
