-- seeded.lua: evla new weights NAME --seed 1: a GGUF file of a known model's shape, with seeded random weights and a tokenizer
-- made up to fit. It says nothing sensible, but costs what the real one costs: for measuring, and for comparing engines.
local evla = require "evla"
local formats = require "evla.formats"
local seeded = {}

-- Shapes, from the models' config.json. method: the tokenizer's.
local MODELS = {
  ["llama-tiny"] = { arch = "llama", layers = 3, width = 256, heads = 8, kv_heads = 2, head = 32, hidden = 512, vocabulary = 1024, eps = 1e-5, context = 512, method = "spm" },
  ["qwen2-tiny"] = { arch = "qwen2", layers = 3, width = 256, heads = 8, kv_heads = 2, head = 32, hidden = 512, vocabulary = 1024, eps = 1e-6, context = 512, method = "bpe", pre = "qwen2", bias = true, tied = true, rope_base = 1e6 },
  tinyllama = { arch = "llama", layers = 22, width = 2048, heads = 32, kv_heads = 4, head = 64, hidden = 5632, vocabulary = 32000, eps = 1e-5, context = 2048, method = "spm" },
  ["mobilellama-1.4b"] = { arch = "llama", layers = 24, width = 2048, heads = 16, kv_heads = 16, head = 128, hidden = 5632, vocabulary = 32000, eps = 1e-6, context = 2048, method = "spm" },
  ["smollm2-360m"] = { arch = "llama", layers = 32, width = 960, heads = 15, kv_heads = 5, head = 64, hidden = 2560, vocabulary = 49152, eps = 1e-5, context = 8192, method = "bpe", pre = "smollm", tied = true, rope_base = 1e5 },
  ["qwen2-0.5b"] = { arch = "qwen2", layers = 24, width = 896, heads = 14, kv_heads = 2, head = 64, hidden = 4864, vocabulary = 151936, eps = 1e-6, context = 32768, method = "bpe", pre = "qwen2", bias = true, tied = true, rope_base = 1e6 },
}

-- Policies, by the module that knows their sizes.
local POLICIES = { smolvla = "smolvla", ["smolvla-tiny"] = "smolvla" }

function seeded.names()
  local out = {}
  for name in pairs(POLICIES) do out[#out + 1] = name end
  for name in pairs(MODELS) do out[#out + 1] = name end
  table.sort(out)
  return out
end

-- ---- tokenizers: pieces of one, two, three, ... letters until there are enough ---------------------------------------

local function letters(blank)
  local out = { blank }
  for c = string.byte "a", string.byte "z" do out[#out + 1] = string.char(c) end
  return out
end

-- Calls add(left, right) for pieces that two known ones make, shortest first, until it says that it has enough.
local function grow(blank, add)
  local one = letters(blank)
  local last = one
  while true do
    local longer = {}
    for _, left in ipairs(last) do
      for _, right in ipairs(one) do
        if not add(left, right) then return end
        longer[#longer + 1] = left .. right
      end
    end
    last = longer
  end
end

local NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6

local function spm(n)
  local tokens, scores, types, known = {}, {}, {}, {}
  local function put(text, kind)
    if #tokens == n then return false end
    if known[text] then return true end
    known[text] = true
    tokens[#tokens + 1], types[#types + 1] = text, kind
    scores[#scores + 1] = kind == NORMAL and -(#tokens - 259.0) or 0.0
    return true
  end
  put("<unk>", UNKNOWN) put("<s>", CONTROL) put("</s>", CONTROL)
  for b = 0, 255 do put(("<0x%02X>"):format(b), BYTE) end
  local singles = { "\u{2581}" }
  for c = 33, 126 do singles[#singles + 1] = string.char(c) end
  for _, c in ipairs(singles) do put(c, NORMAL) end
  grow("\u{2581}", function(left, right) return put(left .. right, NORMAL) end)
  return { ["tokenizer.ggml.model"] = "llama", ["tokenizer.ggml.tokens"] = tokens, ["tokenizer.ggml.scores"] = scores,
           ["tokenizer.ggml.token_type"] = types, ["tokenizer.ggml.bos_token_id"] = 1, ["tokenizer.ggml.eos_token_id"] = 2,
           ["tokenizer.ggml.unknown_token_id"] = 0, ["tokenizer.ggml.add_bos_token"] = true, ["tokenizer.ggml.add_eos_token"] = false }
end

-- Bytes as the letters that GPT-2's tokenizer writes them with.
local function byte_letters()
  local out, next_free = {}, 256
  for b = 0, 255 do
    local plain = (b >= 33 and b <= 126) or (b >= 161 and b <= 172) or b >= 174
    out[b + 1] = utf8.char(plain and b or next_free)
    if not plain then next_free = next_free + 1 end
  end
  return out
end

-- How conversations look to these models: ChatML.
local CHAT = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}" ..
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

local function bpe(n, pre)
  local tokens, types, merges, known = {}, {}, {}, {}
  for _, text in ipairs { "<|endoftext|>", "<|im_start|>", "<|im_end|>" } do
    tokens[#tokens + 1], types[#types + 1] = text, CONTROL
  end
  for _, c in ipairs(byte_letters()) do tokens[#tokens + 1], types[#types + 1], known[c] = c, NORMAL, true end
  grow("\u{120}", function(left, right)
    if #tokens == n then return false end
    if not known[left .. right] then
      known[left .. right] = true
      merges[#merges + 1] = left .. " " .. right
      tokens[#tokens + 1], types[#types + 1] = left .. right, NORMAL
    end
    return true
  end)
  return { ["tokenizer.ggml.model"] = "gpt2", ["tokenizer.ggml.pre"] = pre, ["tokenizer.ggml.tokens"] = tokens,
           ["tokenizer.ggml.token_type"] = types, ["tokenizer.ggml.merges"] = merges, ["tokenizer.ggml.bos_token_id"] = 0,
           ["tokenizer.ggml.eos_token_id"] = 2, ["tokenizer.ggml.padding_token_id"] = 0, ["tokenizer.ggml.add_bos_token"] = false, ["tokenizer.chat_template"] = CHAT }
end

-- A policy's file: as its loader (policies/NAME.lua) reads it, and whoever else reads such files.
local function write_policy(name, kind, seed, path)
  local family = POLICIES[name]
  local of, options = require("evla.seeded_" .. family), { name = "seeded" }
  local sizes = of.sizes[name]
  for key, v in pairs(sizes) do options[key] = key ~= "numbers" and v or nil end
  for what, n in pairs(sizes.numbers) do
    options[what .. "_mean"], options[what .. "_std"] = {}, {}
    for i = 1, n do options[what .. "_mean"][i], options[what .. "_std"][i] = 0.0, 1.0 end
  end
  local attrs = bpe(of.vocabulary, of.method)
  for key, v in pairs(of.says(sizes)) do attrs[key] = v end
  attrs["general.architecture"], attrs["general.name"] = family, ("%s, seeded with %d"):format(name, seed)
  attrs["general.file_type"], attrs["general.quantization_version"] = formats.file_type(kind), 2
  local format, is_exact = formats.of(kind, false, "bf16"), require("evla.policies." .. family).is_exact
  evla.seed { model = evla.model(family)(options), path = path, seed = seed, attrs = attrs, others = of.others(sizes),
              format = function(weight, shape) return not is_exact(weight) and format(weight, shape) or "f32" end }
  return true
end

-- Writes the file. nil and a sentence when a name is wrong.
function seeded.write(name, kind, seed, path)
  local m = MODELS[name]
  if POLICIES[name] and formats.file_type(kind) then return write_policy(name, kind, seed, path) end
  if not m then return nil, ("no model is called \"%s\"; want one of %s"):format(name, table.concat(seeded.names(), ", ")) end
  if not formats.file_type(kind) then return nil, ("no type is called \"%s\"; want one of %s"):format(kind, table.concat(formats.kinds(), ", ")) end
  local attrs = m.method == "spm" and spm(m.vocabulary) or bpe(m.vocabulary, m.pre)
  local own = { block_count = m.layers, context_length = m.context, embedding_length = m.width, feed_forward_length = m.hidden,
                ["attention.head_count"] = m.heads, ["attention.head_count_kv"] = m.kv_heads, ["rope.dimension_count"] = m.head,
                ["attention.layer_norm_rms_epsilon"] = m.eps, ["rope.freq_base"] = m.rope_base or 10000.0, vocab_size = m.vocabulary }
  for key, v in pairs(own) do attrs[m.arch .. "." .. key] = v end
  attrs["general.architecture"], attrs["general.name"] = m.arch, ("%s, seeded with %d"):format(name, seed)
  attrs["general.file_type"], attrs["general.quantization_version"] = formats.file_type(kind), 2
  local model = evla.model "llama" {
    name = "seeded", layers = m.layers, width = m.width, heads = m.heads, kv_heads = m.kv_heads, head = m.head, hidden = m.hidden,
    vocabulary = m.vocabulary, eps = m.eps, rope_dims = m.head, bias = m.bias, tied = m.tied, kv = "f32",
  }
  local format = formats.of(kind, m.tied, "f16")
  evla.seed { model = model, path = path, seed = seed, attrs = attrs, format = function(...) return (format(...)) or "f32" end }
  return true
end

return seeded
