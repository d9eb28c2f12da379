-- llama.lua: decoders of the Llama family, token by token or many at once, over keys and values in blocks.
-- Touvron et al. 2023; grouped heads (Ainslie et al. 2023), rotary positions (Su et al. 2021), SwiGLU (Shazeer 2020). The
-- same graph serves Llama 2 and 3, TinyLlama, MobileLLaMA, SmolLM2 and Qwen2: they differ in numbers, names and biases.

-- Where weights lie, by who wrote the file.
local NAMES = {
  gguf = { embed = "token_embd.weight", norm = "output_norm.weight", head = "output.weight", factors = "rope_freqs.weight",
           layer = "blk.%d.%s", attn_norm = "attn_norm", q = "attn_q", k = "attn_k", v = "attn_v", o = "attn_output",
           ffn_norm = "ffn_norm", gate = "ffn_gate", up = "ffn_up", down = "ffn_down" },
  hf = { embed = "model.embed_tokens.weight", norm = "model.norm.weight", head = "lm_head.weight", layer = "model.layers.%d.%s",
         attn_norm = "input_layernorm", q = "self_attn.q_proj", k = "self_attn.k_proj", v = "self_attn.v_proj",
         o = "self_attn.o_proj", ffn_norm = "post_attention_layernorm", gate = "mlp.gate_proj", up = "mlp.up_proj",
         down = "mlp.down_proj" },
}

-- Llama 3's stretched positions: what each frequency is divided by (its reference code's apply_scaling).
local function stretched(p)
  local out = {}
  for i = 0, p.rope_dims / 2 - 1 do
    local wave = 2 * math.pi * p.rope_base ^ (2 * i / p.rope_dims)
    local low, high = p.rope_original / p.rope_low, p.rope_original / p.rope_high
    if wave < high then out[i + 1] = 1.0
    elseif wave > low then out[i + 1] = p.rope_factor
    else
      local smooth = (p.rope_original / wave - p.rope_low) / (p.rope_high - p.rope_low)
      out[i + 1] = 1 / ((1 - smooth) / p.rope_factor + smooth)
    end
  end
  return out
end

-- Names of weights that stand by themselves; the others are parts of a layer.
local WHOLE = { embed = true, norm = true, head = true, factors = true, layer = true }

local function names_of(p)
  local n = {}
  for key, name in pairs(NAMES[p.names]) do n[key] = WHOLE[key] and p.prefix .. name or name end
  return n
end

local function norm(g, p, x, name) return g.rms_norm { x, w = g:weight(name, ("f32[%d]"):format(p.width), "ones"), eps = p.eps } end

local function embed(g, p, ids) return g.embedding { names_of(p).embed, ids, num_embeddings = p.vocabulary, embedding_dim = p.width } end

-- All blocks over rows x at these positions. attend(i, q, k, v): what block i looks at.
local function blocks(g, p, x, position, attend)
  local n, factors = names_of(p), nil
  if p.rope_weights then factors = g:weight(n.factors, ("f32[%d]"):format(p.rope_dims // 2))
  elseif p.rope_factor > 0 then factors = g:const(("f32[%d]"):format(p.rope_dims // 2), stretched(p)) end
  local cos, sin = g.rope_angles { position, factors = factors, dims = p.rope_dims, base = p.rope_base, scale = p.rope_scale }
  for i = 0, p.layers - 1 do
    local function named(part, what) return n.layer:format(i, part) .. what end
    local function linear(y, part, out, bias)
      return g.linear { y, w = named(part, ".weight"), b = bias and g:weight(named(part, ".bias"), ("f32[%d]"):format(out)) or nil, out = out }
    end
    local h = norm(g, p, x, named(n.attn_norm, ".weight"))
    local q = g.rope { linear(h, n.q, p.heads * p.head, p.bias), cos, sin, heads = p.heads, pairs = p.rope_pairs }
    local k = g.rope { linear(h, n.k, p.kv_heads * p.head, p.bias), cos, sin, heads = p.kv_heads, pairs = p.rope_pairs }
    local a = attend(i, q, k, linear(h, n.v, p.kv_heads * p.head, p.bias))
    x = g.add { x, linear(a, n.o, p.width) }
    h = norm(g, p, x, named(n.ffn_norm, ".weight"))
    local gated = g.mul { g.silu(linear(h, n.gate, p.hidden)), linear(h, n.up, p.hidden) }
    x = g.add { x, linear(gated, n.down, p.width) }
  end
  return x
end

-- What may follow rows x of the last block.
local function logits(g, p, x)
  return g.linear { norm(g, p, x, names_of(p).norm), w = names_of(p)[p.tied and "embed" or "head"], out = p.vocabulary }
end

local function tokens(g, p)
  g:symbol("T", "bucket{1,8,32,128,512}")
  local ids, position = g:input("ids", "i32[T]"), g:input("position", "i32[T]")
  local slot, last, table = g:input("slot", "i32[T]"), g:input("last", "i32[T]"), g:input("table", "i32[TABLE]")
  local x
  if p.rows then -- where the token is -1
    local is_row = g.less { g.reshape { ids, shape = { -1, 1 } }, g:const("i32", 0) }
    x = g.where { is_row, g:input("rows", ("f32[T,%d]"):format(p.width)), embed(g, p, g.maximum { ids, g:const("i32", 0) }) }
  else
    x = embed(g, p, ids)
  end
  x = blocks(g, p, x, position, function(i, q, k, v)
    local function cache(of, y)
      local pool = g:state(("%s.%d"):format(of, i), ("%s[BLOCKS,16,%d]"):format(p.kv, p.kv_heads * p.head))
      return g.kv_write { pool, y, slot }
    end
    local keys, values = cache("k", k), cache("v", v)
    return g.paged_attention { q, keys, values, table, last, heads = p.heads, kv_heads = p.kv_heads }
  end)
  g:output("logits", logits(g, p, g.gather { x, g:input("row", "i32[ROWS]"), axis = 0 }))
end

local function attention(g, p, q, k, v, causal) return g.attention { q, k, v, heads = p.heads, kv_heads = p.kv_heads, causal = causal, products = p.attention } end

-- A text with a picture's rows in it that is known to its end, for whoever measures, without a cache: the logits of `answer` of its
-- tokens, from what stands at the places `judged`, each before one of them. What follows the last is not seen: a text may be padded.
local MOST_TEXT = 4096
local function known(g, p, answer)
  local rows = g:input("rows", ("f32[N,%d]"):format(p.width))
  local x = g.concat { embed(g, p, g:input("before", "i32[BEFORE]")), rows, embed(g, p, g:input("after", "i32[AFTER]")), axis = 0 }
  local places = {}
  for i = 1, MOST_TEXT do places[i] = i - 1 end
  x = blocks(g, p, x, g.slice { g:const(("i32[%d]"):format(MOST_TEXT), places), axis = 0, start = 0, stop = "BEFORE+N+AFTER" }, function(_, q, k, v) return attention(g, p, q, k, v, true) end)
  local judged = logits(g, p, g.gather { x, g:input("judged", ("i32[%d]"):format(answer)), axis = 0 })
  g:output("logits", judged)
  return judged
end

-- Without a cache: what the model makes of rows x f32[T,width] that all see each other, T positions from 0 on.
local function whole(g, p, x, position)
  x = blocks(g, p, x, position, function(_, q, k, v) return attention(g, p, q, k, v) end)
  return norm(g, p, x, names_of(p).norm)
end

return {
  embed = embed, blocks = blocks, logits = logits, whole = whole, known = known,
  options = {
    layers = { type = "int", default = 22, min = 1, max = 512, doc = "blocks" },
    width = { type = "int", default = 2048, min = 8, max = 65536, doc = "features of a token" },
    heads = { type = "int", default = 32, min = 1, max = 1024, doc = "query heads" },
    kv_heads = { type = "int", default = 4, min = 1, max = 1024, doc = "key and value heads" },
    head = { type = "int", default = 64, min = 2, max = 1024, doc = "features of a head" },
    hidden = { type = "int", default = 5632, min = 8, max = 262144, doc = "features inside the feed-forward part" },
    vocabulary = { type = "int", default = 32000, min = 1, max = 4194304, doc = "tokens" },
    eps = { type = "float", default = 1e-5, min = 0, max = 1, doc = "of the norms" },
    rope_base = { type = "float", default = 10000.0, min = 1, max = 1e12, doc = "of the rotary angles" },
    rope_scale = { type = "float", default = 1.0, min = 1e-6, max = 1e6, doc = "positions are multiplied by it" },
    rope_dims = { type = "int", default = 64, min = 2, max = 1024, doc = "features of a head that are turned" },
    rope_pairs = { type = "enum", default = "half", choices = { "half", "interleaved" }, doc = "which features turn together" },
    rope_factor = { type = "float", default = 0.0, min = 0, max = 1e6, doc = "Llama 3's stretching of low frequencies; 0: none" },
    rope_low = { type = "float", default = 1.0, min = 0, max = 1e6, doc = "its low_freq_factor" },
    rope_high = { type = "float", default = 4.0, min = 0, max = 1e6, doc = "its high_freq_factor" },
    rope_original = { type = "int", default = 8192, min = 1, max = 1 << 30, doc = "the context it was trained with before" },
    rope_weights = { type = "bool", default = false, doc = "the file has that stretching as a weight" },
    bias = { type = "bool", default = false, doc = "q, k and v have biases" },
    tied = { type = "bool", default = false, doc = "the head is the table of embeddings" },
    names = { type = "enum", default = "gguf", choices = { "gguf", "hf" }, doc = "how weights are called" },
    prefix = { type = "string", default = "", doc = "what stands before their names" },
    rows = { type = "bool", default = false, doc = "texts may hold rows of embeddings" },
    answer = { type = "int", default = 0, min = 0, max = 1024, doc = "tokens that the graph known judges, at a text's end; 0: there is no such graph" },
    attention = { type = "enum", default = "plain", choices = { "plain", "bf16" }, doc = "what attention's products are rounded to, but for those of a cache, whose format is kv" },
    kv = { type = "string", default = "bf16", doc = "number format of keys and values" },
  },
  graphs = function(p)
    return { tokens = function(g) tokens(g, p) end }
  end,
}
