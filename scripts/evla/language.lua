-- language.lua: evla.load "FILE": a model that reads and writes text, from the file that somebody else's tool wrote.
--   m = evla.load "tiny.gguf"    m:generate "Once upon a time"    m:chat "Hello"    m:perplexity "notes.txt"
local evla = require "evla.core"
local files = require "evla.files"
local formats = require "evla.formats"
local json = require "evla.json"

local language = {}

-- ---- what a file says of its architecture, as options of models/llama.lua --------------------------------------------

-- GGUF architectures that llama.lua describes, and which features of a head turn together there: the converter has sorted
-- the rows of Llama's queries and keys so that neighbours do.
local GGUF = { llama = "interleaved", qwen2 = "half" }

-- want(key, preset) gives what a file says under a key; the other two want it to be a whole number that counts something, and a number.
local function wanting(path, get, shown)
  local function want(key, preset)
    local v = get(key)
    if v == nil then v = preset end
    if v == nil then error(("%s: %s is missing"):format(path, shown(key)), 0) end
    return v
  end
  local function checked(what, good)
    return function(key, preset)
      local v = want(key, preset)
      if not good(v) then error(("%s: %s is %s; want %s"):format(path, shown(key), type(v) == "table" and "a list" or tostring(v), what), 0) end
      return v
    end
  end
  return want, checked("a whole number from 1 to 16777216", function(v) return math.type(v) == "integer" and v >= 1 and v <= 1 << 24 end),
    checked("a number above 0", function(v) return type(v) == "number" and v > 0 and v < math.huge end)
end

local function from_gguf(path, file)
  local attrs = file.attrs
  local arch = attrs["general.architecture"]
  if not arch then error(("%s: does not say its architecture (general.architecture)"):format(path), 0) end
  local pairs_of = GGUF[arch]
  if not pairs_of then
    local names = {}
    for name in pairs(GGUF) do names[#names + 1] = name end
    table.sort(names)
    error(("%s: its architecture is %s; want one of %s"):format(path, arch, table.concat(names, ", ")), 0)
  end
  local want, whole, number = wanting(path, function(key) return attrs[arch .. "." .. key] end, function(key) return arch .. "." .. key end)
  local heads, width = whole "attention.head_count", whole "embedding_length"
  local head = whole("attention.key_length", width // heads)
  local embed = file["token_embd.weight"]
  if not embed then error(("%s: has no tensor token_embd.weight"):format(path), 0) end
  local scaling = want("rope.scaling.type", "none")
  if scaling ~= "none" and scaling ~= "linear" then
    error(("%s: rope.scaling.type is %s; want none or linear"):format(path, scaling), 0)
  end
  return {
    layers = whole "block_count", width = width, heads = heads, kv_heads = whole("attention.head_count_kv", heads), head = head,
    hidden = whole "feed_forward_length", vocabulary = embed.shape[1], eps = number "attention.layer_norm_rms_epsilon",
    rope_base = number("rope.freq_base", 10000.0), rope_scale = scaling == "linear" and 1 / number("rope.scaling.factor", 1.0) or 1.0,
    rope_dims = whole("rope.dimension_count", head), rope_pairs = pairs_of, rope_weights = file["rope_freqs.weight"] ~= nil,
    bias = file["blk.0.attn_q.bias"] ~= nil, tied = file["output.weight"] == nil, names = "gguf",
  }, whole("context_length", 2048)
end

local HF = { LlamaForCausalLM = true, MistralForCausalLM = true, Qwen2ForCausalLM = true }

local function from_folder(folder, classes)
  local path = folder .. "/config.json"
  local c = json.read(path)
  local class = c.architectures and c.architectures[1]
  if not (classes or HF)[class] then error(("%s: its architecture is %s; want LlamaForCausalLM, MistralForCausalLM or Qwen2ForCausalLM"):format(path, tostring(class)), 0) end
  local want, whole, number = wanting(path, function(key) return c[key] end, function(key) return key end)
  local heads, width = whole "num_attention_heads", whole "hidden_size"
  local head = whole("head_dim", width // heads)
  local options = {
    layers = whole "num_hidden_layers", width = width, heads = heads, kv_heads = whole("num_key_value_heads", heads), head = head,
    hidden = whole "intermediate_size", vocabulary = whole "vocab_size", eps = number "rms_norm_eps",
    rope_base = number("rope_theta", 10000.0), rope_dims = head, rope_pairs = "half",
    bias = want("attention_bias", class == "Qwen2ForCausalLM"), tied = want("tie_word_embeddings", false), names = "hf",
  }
  local s = c.rope_scaling
  local kind = s and (s.rope_type or s.type) or "default"
  if kind == "linear" then options.rope_scale = 1 / s.factor
  elseif kind == "llama3" then
    options.rope_factor, options.rope_low, options.rope_high = s.factor, s.low_freq_factor, s.high_freq_factor
    options.rope_original = s.original_max_position_embeddings
  elseif kind ~= "default" then
    error(("%s: rope_scaling is %s; want default, linear or llama3"):format(path, kind), 0)
  end
  return options, whole("max_position_embeddings", 2048)
end

-- For models that have such a decoder in them: the same options and the context, from a GGUF file or a folder whose architecture
-- is one of the classes.
language.from_gguf, language.from_folder = from_gguf, from_folder

-- ---- the object ------------------------------------------------------------------------------------------------------

local object = {}
object.__index = object
object.__name = "evla.language"

-- The model in memory, planned at the first question. all: also for every token's logits.
local function opened(m, all)
  local key = all and "all" or "last"
  if not m.open[key] then
    m.open[key] = evla.text { model = m.model, context = m.context, cache = m.cache, blocks = m.blocks, workers = m.workers, memory = m.memory, all = all }
  end
  return m.open[key]
end

function object:text() return opened(self, false) end

-- Shows a text as it comes when nobody else listens.
local function shown(options)
  if options.on_text or options.quiet then return options.on_text end
  return function(piece) io.stdout:write(piece) io.stdout:flush() end
end

-- An answer at the prompt: what it took, not every number in it.
local answer = {}
function answer:__tostring()
  return ("%d tokens behind %d (%d known), %.1f tokens/s, why: %s"):format(#self.tokens, self.prompt_tokens, self.recalled_tokens,
    #self.tokens / self.tokens_ms * 1e3, self.why)
end

-- m:generate "Once upon a time", or m:generate { prompt = ..., tokens = 64, loop = evla.loop.generate { temperature = 0.8 } }
function object:generate(options)
  if type(options) == "string" then options = { prompt = options } end
  local call = {}
  for k, v in pairs(options) do call[k] = v end
  call.loop, call.on_text = call.loop or evla.loop.generate {}, shown(options)
  local a = setmetatable(opened(self, false):complete(call), answer)
  if not options.on_text and not options.quiet then io.write "\n" end
  return a
end

-- One more turn of a conversation; m:chat(nil) begins a new one.
function object:chat(text, options)
  options = options or {}
  if text == nil then self.messages = {} return end
  local m, t = self.messages, opened(self, false)
  if #m == 0 and options.system then m[1] = { role = "system", text = options.system } end
  m[#m + 1] = { role = "user", text = text }
  local call = {}
  for k, v in pairs(options) do call[k] = v end
  call.ids, call.begins = t:encode(t:template(m), { special = true }), true
  call.tokens = options.tokens or 0
  call.system = nil
  local ok, a = pcall(self.generate, self, call)
  if not ok then m[#m] = nil error(a, 0) end
  m[#m + 1] = { role = "assistant", text = a.text }
  return a
end

-- How surprised the model is by a text file: e to the mean loss, and how many tokens were looked at.
function object:perplexity(path)
  local file, why = io.open(path)
  if not file then error(why, 2) end
  local text = file:read "a"
  file:close()
  local mean, n = opened(self, true):loss(text)
  return math.exp(mean), n
end

function object:close()
  for key, t in pairs(self.open) do t:close() self.open[key] = nil end
end

function object:__tostring() return ("%s: %d tokens of context"):format(self.model.name, self.context) end

-- ---- weights that are rounded while they are read --------------------------------------------------------------------

-- { { name, format }, ... } of the matrices that get another number format than the file's, and by format how many there are of
-- each, and why it is not the one asked for. whole: see formats.of.
local function rounded(kind, file, tied, whole)
  local of, list, count = formats.of(formats.want(kind, "type"), tied, whole), {}, {}
  for _, name in ipairs(file.names) do
    local tensor = file[name]
    local format, why = of(name, tensor.shape)
    if format then
      if format ~= tensor.dtype then list[#list + 1] = { name, format } end
      count[format] = count[format] or { n = 0, why = why }
      count[format].n = count[format].n + 1
    end
  end
  return list, count
end

language.rounded = rounded

-- ---- loading ---------------------------------------------------------------------------------------------------------

local own = { context = true, cache = true, blocks = true, workers = true, memory = true, name = true }

-- The same file may be loaded more than once; jobs have names of their own.
local loaded = {}
local function numbered(name)
  loaded[name] = (loaded[name] or 0) + 1
  return loaded[name] == 1 and name or ("%s_%d"):format(name, loaded[name])
end

-- evla.load "FILE.gguf", evla.load "FOLDER" (config.json, tokenizer.json and safetensors), evla.load("FILE", { context = 4096,
-- kv = "f32", type = "q4_0" }). type: matrices are rounded to it while they are read; whole: see formats.of. context: most tokens of a text; otherwise what the file says, but at most 2048. cache = evla.cache.window {}
-- lets texts go on beyond it, without the middle.
function language.load(path, options)
  options = options or {}
  local given, weights, tokenizer, trained = nil, path, nil, nil
  local name = options.name or numbered(path:match "([^/]+)/*$":gsub("%.%a+$", ""):gsub("[^%w_-]", "_"))
  local function made(model, context)
    return setmetatable({ model = model, context = options.context or math.min(context, 2048), cache = options.cache,
                          blocks = options.blocks, workers = options.workers, memory = options.memory, open = {}, messages = {} }, object)
  end
  if path:find "%.evla$" then
    for k in pairs(options) do
      if not own[k] then error(("%s: is packed; \"%s\" cannot be chosen any more"):format(path, k), 2) end
    end
    local model, attrs = evla.packed(path, name)
    local config = attrs["config.json"] and json.decode(attrs["config.json"][1])
    return made(model, config and config.max_position_embeddings or attrs[(attrs["general.architecture"] or "") .. ".context_length"] or 2048)
  end
  local file
  if files.exists(path .. "/config.json") then
    given, trained = from_folder(path)
    tokenizer = path .. "/tokenizer.json"
    weights = path .. "/model.safetensors"
    if not files.exists(weights) then weights = weights .. ".index.json" end
  else
    file = evla.tensors(path)
    if not file then error(("%s: is of no format that is loaded, and no folder with a config.json"):format(path), 2) end
    if file.format ~= "gguf" then error(("%s: a %s file does not say what it is; want a folder with a config.json around it"):format(path, file.format), 2) end
    given, trained = from_gguf(path, file)
  end
  for k, v in pairs(options) do if not own[k] then given[k] = v end end
  given.type, given.whole = nil, nil
  given.name = name
  given.weights, given.tokenizer = weights, tokenizer
  local counts
  if options.type then given.formats, counts = rounded(options.type, file or evla.tensors(weights), given.tied, options.whole) end
  local m = made(evla.checkpoint("llama", given), trained)
  m.formats = counts
  return m
end

return language
