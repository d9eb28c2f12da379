-- seeing.lua: models that read texts with a picture in them, from the files that their authors published.
--   m = evla.see "openvla-7b"    m.model for evla.generate { picture = ... }, m:prompt(text) for what it was trained to read
-- A folder with config.json, tokenizer.json and safetensors, or llama.cpp's pair of GGUF files. How wide and deep things are is asked of the tensors themselves;
-- config.json says the rest.
local asking = require "evla.asking"
local beside = require "evla.beside"
local bundle = require "evla.bundle"
local evla = require "evla.core"
local files = require "evla.files"
local json = require "evla.json"
local language = require "evla.language"
local layers_of = require "evla.layers"

local seeing = {}

-- What the tensors of a file say: extents, and how many blocks there are.
local function asked(path, file)
  local function shape(name, rank)
    local t = file[name]
    if not t then error(("%s: has no tensor %s; is it another architecture's?"):format(path, name), 0) end
    if rank and #t.shape ~= rank then error(("%s: %s has %d extents; want %d"):format(path, name, #t.shape, rank), 0) end
    return t.shape
  end
  local function count(name) return layers_of(path, file, name) end
  -- Pixels of a picture's side, from how many patches have positions.
  local function pixels(name, patches, patch)
    local side = math.tointeger(math.sqrt(patches))
    if not side then error(("%s: %s has positions for %d patches, which are no square"):format(path, name, patches), 0) end
    return side * patch
  end
  return shape, count, pixels
end

-- A folder's weights: their path, the archive, and what it is asked with.
local function tensors_of(folder)
  local weights = folder .. "/model.safetensors"
  if not files.exists(weights) then weights = weights .. ".index.json" end
  local file = evla.tensors(weights)
  if not file then error(("%s: is of no format that is loaded"):format(weights), 0) end
  return weights, file, asked(weights, file)
end

-- Settings that would make a model see otherwise than its file in models/ does; pairs of a name and the value that is supported.
local function only(path, config, list)
  for _, o in ipairs(list) do
    local v = config[o[1]]
    if v ~= nil and v ~= o[2] then error(("%s: %s is %s; only %s is supported"):format(path, o[1], tostring(v), tostring(o[2])), 0) end
  end
end

-- A whole number of 1 or more among the settings, or what is there without.
local function whole(path, v, name, preset)
  if v == nil then return preset end
  if math.type(v) ~= "integer" or v < 1 then error(("%s: %s is %s; want a whole number of 1 or more"):format(path, name, tostring(v)), 0) end
  return v
end

-- What attention's products are rounded to where a matrix is like that one.
local function products(matrix) return matrix and matrix.dtype ~= "f32" and "bf16" or "plain" end

-- ---- OpenVLA ---------------------------------------------------------------------------------------------------------

local PROMPT = "<image>In: What action should the robot take to %s?\nOut: " -- its end is the token that its authors append
local VICUNA = "<image>A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and " ..
  "polite answers to the user's questions. USER: What action should the robot take to %s? ASSISTANT: "

-- The statistics that one data set held, of its actions or of what the robot knew of itself: they turn numbers between -1 and 1 into
-- the robot's own.
local function statistics(path, config, key, what)
  local all = config.norm_stats
  if type(all) ~= "table" or not next(all) then error(("%s: has no norm_stats, so its actions have no units"):format(path), 0) end
  local names = {}
  for name in pairs(all) do names[#names + 1] = name end
  table.sort(names)
  if not key and #names > 1 then error(("%s: holds statistics of %d data sets; want unnorm_key, one of %s"):format(path, #names, table.concat(names, ", ")), 0) end
  local own = all[key or names[1]]
  if not own then error(("%s: has no statistics \"%s\"; want one of %s"):format(path, key, table.concat(names, ", ")), 0) end
  local a = own[what]
  for _, q in ipairs { "q01", "q99" } do
    if type(a) ~= "table" or type(a[q]) ~= "table" then error(("%s: norm_stats.%s.%s.%s is missing"):format(path, key or names[1], what, q), 0) end
  end
  local scaled = {}
  for i = 1, #a.q01 do scaled[i] = (not a.mask or a.mask[i]) and 1 or 0 end
  if #a.q01 ~= #a.q99 or a.mask and #a.mask ~= #a.q01 then error(("%s: norm_stats.%s: q01, q99 and mask differ in length"):format(path, key or names[1]), 0) end
  return a.q01, a.q99, scaled
end

local function openvla(folder, path, config, options)
  local weights, file, shape, count, pixels = tensors_of(folder)
  only(path, config, { { "use_fused_vision_backbone", true }, { "image_resize_strategy", "resize-naive" } })
  local text = config.text_config or {}
  if type(text) ~= "table" then error(("%s: text_config is %s; want an object"):format(path, tostring(text)), 0) end
  local lm, dino, siglip = "language_model.model.", "vision_backbone.featurizer.", "vision_backbone.fused_featurizer."
  local embed, layer, patch = shape(lm .. "embed_tokens.weight", 2), lm .. "layers.0.", shape(dino .. "patch_embed.proj.weight", 4)
  local heads = options.heads or whole(path, text.num_attention_heads, "text_config.num_attention_heads", 32)
  local head = whole(path, text.head_dim, "text_config.head_dim", embed[2] // heads)
  local given = {
    layers = count(lm .. "layers.%d.input_layernorm.weight"), width = embed[2], heads = heads, head = head, rope_dims = head,
    kv_heads = shape(layer .. "self_attn.k_proj.weight", 2)[1] // head, hidden = shape(layer .. "mlp.up_proj.weight", 2)[1], vocabulary = embed[1],
    eps = text.rms_norm_eps or 1e-6, rope_base = text.rope_theta or 10000.0, image = pixels("pos_embed", shape(dino .. "pos_embed", 3)[2], patch[3]), patch = patch[3],
    dino_width = patch[1], dino_layers = count(dino .. "blocks.%d.norm1.weight"), dino_hidden = shape(dino .. "blocks.0.mlp.fc1.weight", 2)[1],
    dino_registers = shape(dino .. "reg_token", 3)[2],
    siglip_width = shape(siglip .. "patch_embed.proj.weight", 4)[1], siglip_layers = count(siglip .. "blocks.%d.norm1.weight"),
    siglip_hidden = shape(siglip .. "blocks.0.mlp.fc1.weight", 2)[1], projected = shape("projector.fc1.weight", 2)[1],
    bins = whole(path, config.n_action_bins, "n_action_bins", 256), words = embed[1] - whole(path, config.pad_to_multiple_of, "pad_to_multiple_of", 64), attention = products(file[siglip .. "blocks.0.mlp.fc1.weight"]),
  }
  local sizes = config.image_sizes
  if sizes and sizes[1] and sizes[1] ~= given.image then
    error(("%s: image_sizes says %d pixels, but the towers have positions for %d"):format(path, sizes[1], given.image), 0)
  end
  if file["action_head.model.fc1.weight"] then -- OFT's, beside the model
    given.chunk = config.num_actions_chunk or 8
    given.proprio = file["proprio_projector.fc1.weight"] and shape("proprio_projector.fc1.weight", 2)[2] or 0
  end
  given.low, given.high, given.scaled = statistics(path, config, options.unnorm_key, "action")
  if (given.proprio or 0) > 0 then
    given.proprio_low, given.proprio_high = statistics(path, config, options.unnorm_key, "proprio")
    if #given.proprio_low ~= given.proprio then
      error(("%s: norm_stats says that the robot knows %d numbers of itself; the weights take %d"):format(path, #given.proprio_low, given.proprio), 0)
    end
  end
  local rows = given.image * given.image // (given.patch * given.patch)
  return given, weights, "openvla", {
    pictures = { cameras = given.chunk and options.cameras or 1, height = given.image, width = given.image, fit = "resize", mode = "bicubic", crop = options.crop,
                 colours = "imagenet_bf16, siglip" },
    prompt = { template = options.vicuna and VICUNA or PROMPT, lower = true, tokens = rows + 128, vocabulary = given.vocabulary },
    noise = { none = "the likeliest token is taken, nothing is drawn" },
    statistics = { low = given.low, high = given.high, scaled = given.scaled, proprio_low = given.proprio_low, proprio_high = given.proprio_high },
    actions = { count = #given.low, horizon = given.chunk or 1, data_set = options.unnorm_key or next(config.norm_stats) },
  }
end

-- ---- MobileVLM V2 ----------------------------------------------------------------------------------------------------

local ASSISTANT = "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite " ..
  "answers to the user's questions. USER: <image>\n%s ASSISTANT:"

-- What the tower's tensors say; first: the name of a block's first linear.
local function tower(given, file, shape, count, pixels, prefix, patch, positions, layer, first)
  local p = shape(prefix .. patch, 4)
  given.vision_width, given.patch = p[1], p[3]
  given.image = pixels(positions, shape(prefix .. positions, 2)[1] - 1, p[3])
  given.vision_layers, given.vision_hidden = count(prefix .. layer), shape(prefix .. first, 2)[1]
  given.attention = products(file[prefix .. first])
end

-- What whoever uses it has to know, see bundle.lua.
local function about(given, context)
  return {
    pictures = { cameras = 1, height = given.image, width = given.image, fit = "square, shortest_edge, crop", mode = "bicubic", colours = "clip" },
    prompt = { template = ASSISTANT, tokens = math.min(context, 2048), vocabulary = given.vocabulary },
    noise = { none = "the likeliest token is taken unless a temperature is asked for" },
    statistics = { none = "it answers in words" },
    actions = { none = "it answers in words" },
  }
end

local function mobilevlm(folder, path, config, options)
  local given, context = language.from_folder(folder, { [config.architectures[1]] = true })
  only(path, config, { { "mm_vision_select_layer", -2 }, { "mm_vision_select_feature", "patch" } })
  local kind = config.mm_projector_type
  if kind ~= "ldpnetv2" then error(("%s: mm_projector_type is %s; want ldpnetv2"):format(path, tostring(kind)), 0) end
  local weights, file, shape, count, pixels = tensors_of(folder)
  tower(given, file, shape, count, pixels, "model.vision_tower.vision_tower.vision_model.", "embeddings.patch_embedding.weight", "embeddings.position_embedding.weight",
    "encoder.layers.%d.layer_norm1.weight", "encoder.layers.0.mlp.fc1.weight")
  return given, weights, "mobilevlm_v2", about(given, context)
end

-- llama.cpp's pair: the decoder with its tokenizer, and the file that it calls mmproj.
local function pair(path, options)
  local text = evla.tensors(path)
  if not text or text.format ~= "gguf" then error(("%s: is no GGUF file"):format(path), 0) end
  if not options.mmproj then error(("%s: reads no pictures by itself; want mmproj, the file with its tower"):format(path), 0) end
  local given, context = language.from_gguf(path, text)
  local file = evla.tensors(options.mmproj)
  if not file or file.format ~= "gguf" then error(("%s: is no GGUF file"):format(options.mmproj), 0) end
  local kind = file.attrs["clip.projector_type"]
  if kind ~= "ldpv2" then error(("%s: clip.projector_type is %s; want ldpv2"):format(options.mmproj, tostring(kind)), 0) end
  local shape, count, pixels = asked(options.mmproj, file)
  tower(given, file, shape, count, pixels, "v.", "patch_embd.weight", "position_embd.weight", "blk.%d.ln1.weight", "blk.0.ffn_up.weight")
  -- older converters gave the two linears each other's names
  given.swapped = given.vision_hidden == given.vision_width and shape("v.blk.0.ffn_down.weight", 2)[1] ~= given.vision_width
  if given.swapped then given.vision_hidden = shape("v.blk.0.ffn_down.weight", 2)[1] end
  given.vision_heads = file.attrs["clip.vision.attention.head_count"]
  given.vision_eps = file.attrs["clip.vision.attention.layer_norm_epsilon"]
  given.beside = options.mmproj
  return given, path, "mobilevlm_v2", about(given, context)
end

-- ---- loading ---------------------------------------------------------------------------------------------------------

local FAMILIES = { OpenVLAForActionPrediction = openvla, MobileLlamaForCausalLM = mobilevlm }

-- Options of evla.see, not of the model file.
local chosen = { name = true, unnorm_key = true, vicuna = true, mmproj = true, type = true, size = true, instruction = true }

-- Matrices are rounded to a type while they are read; tables of positions are added, not multiplied, and stay.
local function rounded(kind, paths)
  local list = {}
  for _, path in ipairs(paths) do
    for _, pair in ipairs(language.rounded(kind, evla.tensors(path), false)) do
      if not pair[1]:find "pos" then list[#list + 1] = pair end
    end
  end
  return list
end

local function from_folder(folder, options)
  local path = folder .. "/config.json"
  local config = json.read(path)
  local class = config.architectures and config.architectures[1]
  local family = FAMILIES[class]
  if not family then
    local names = {}
    for name in pairs(FAMILIES) do names[#names + 1] = name end
    table.sort(names)
    error(("%s: its architecture is %s; want one of %s"):format(path, tostring(class), table.concat(names, ", ")), 0)
  end
  local given, weights, file, items = family(folder, path, config, options)
  given.tokenizer = folder .. "/tokenizer.json"
  return given, weights, file, items
end

local function unpacked(path, options)
  local b = bundle.open(path, "see")
  bundle.refuse_type(path, options)
  return b.options, path, b.kind, b.items, b.graphs == "kept"
end

-- Which architecture's a folder, a pair of files or a bundle is; nil: no such model's.
function seeing.is(path, options)
  if options and options.mmproj then return "mobilevlm_v2" end
  if path:find "%.evla$" then
    local b = bundle.read(path, evla.attributes(path))
    return b and b.opens == "see" and b.kind or nil
  end
  local ok, config = pcall(json.read, path .. "/config.json")
  local family = ok and config.architectures and FAMILIES[config.architectures[1]]
  return family and (family == openvla and "openvla" or "mobilevlm_v2") or nil
end

-- What such a folder or file says: options of the model file, the path of the weights, the model file's name, and what a bundle needs.
function seeing.read(path, options)
  return (path:find "%.evla$" and unpacked or files.exists(path .. "/config.json") and from_folder or pair)(path, options)
end

local object = {}
object.__index = object
object.__name = "evla.seeing"
function object:__tostring() return ("%s that sees: %s"):format(self.kind, self.model.name) end

-- What it was trained to read, for an instruction or a question.
function object:prompt(text) return bundle.prompt(self.items.prompt, text) end

-- What evla.call and evla.recipe want to know, with the caller's own words on top: a text that is known to its end, some of whose tokens
-- are judged (the option answer says how many), or all that OFT's head reads at once. before, words: tokens before and behind the
-- picture, what is known of the answer among them.
function object:call(options)
  local size, last = self.size, self.own.chunk and "chunk" or "known"
  local all = {
    model = self.model, schedule = { { graph = "image" }, { graph = "vision", phase = "vit_encode" }, { graph = last, phase = "prefill" } },
    symbols = { { "H", size[1] }, { "W", size[2] }, { "N", self.rows }, { "BEFORE", self.before }, { "AFTER", self.words }, { "T", self.before + self.words } },
  }
  for k, v in pairs(options or {}) do all[k] = v end
  return all
end

-- The lines of a rollout's schedule in which it answers beside the ticks, in a body that the options `views`, `feels` and `moves`
-- describe; see beside.lua.
function object:beside(how)
  if not self.schedule then error("a model that sees answers in a body when it is told something: want the option instruction, or told", 2) end
  if not self.given.views or self.own.low and (self.given.moves or 0) == 0 then
    error(("it is in a body when the option%s how"):format(self.own.low and "s views, feels and moves say" or " views says"), 2)
  end
  return beside(self.schedule, how, self.own.low ~= nil)
end

-- What one call runs when the text is known: given.told, tokens with -1 where the picture stands, or an instruction in words.
local function scheduled(m, given, instruction)
  if instruction then
    local before, after = asking.tokens(m, instruction)
    before[#before + 1] = -1
    given.told = table.move(after, 1, #after, #before + 1, before)
  end
  if not given.told then return nil end
  given.height, given.picture_width = m.size[1], m.size[2]
  local lines = { { graph = "image" }, { graph = "vision", phase = "vit_encode" } }
  if given.chunk then
    lines[3] = { graph = "chunk", phase = "prefill" }
    return lines
  end
  if instruction and not given.low and not given.ends then
    given.ends = {}
    for id = 0, #m.tokenizer - 1 do if m.tokenizer:ends(id) then table.insert(given.ends, id) end end
  end
  if not given.low then given.says = given.says or 16 end
  local n = given.low and #given.low or given.says
  lines[3] = { graph = "read", phase = "prefill" }
  if n > 1 then lines[4] = { graph = "say", times = n - 1, phase = "decode" } end
  if given.low then lines[#lines + 1] = { graph = "action" } end
  return lines
end

-- evla.see("FOLDER", { unnorm_key = "bridge_orig", kv = "f32" }), evla.see("LLM.gguf", { mmproj = "TOWER.gguf" }), evla.see "x.evla", a
-- bundle that evla pack wrote: options beside these are those of the model file; type = "q8_0" rounds matrices, the towers' too; size =
-- { height, width } of the pictures that come, where they are not those of a text that evla.generate reads.
-- What it gives has model, prompt(text), context, and for actions tokens (how many an answer has) and loop (which may be chosen). With
-- instruction, what it is told in a body or in a call of a fixed text, it also has schedule, and beside for a rollout. more: a function of
-- what the files say that returns further options.
function seeing.load(path, options, more)
  options = options or {}
  local own, weights, file, items, is_kept = seeing.read(path, options)
  for k, v in pairs(more and more(own) or {}) do options[k] = v end
  local given = {}
  for _, all in ipairs { own, options } do
    for k, v in pairs(all) do if not (all == options and chosen[k]) then given[k] = v end end
  end
  if (given.cameras or 1) > 1 and not own.chunk then error(("%s: sees one picture; got %d"):format(path, given.cameras), 0) end
  local size = options.size or { given.height or own.image, given.picture_width or own.image }
  for k, v in pairs(is_kept and options or {}) do
    if own[k] ~= nil or k == "cameras" and v > 1 then bundle.check_measured(path, own, k, v) end
  end
  for i, k in ipairs(is_kept and own.height and { "height", "picture_width" } or {}) do bundle.check_measured(path, own, k, size[i]) end
  if file == "mobilevlm_v2" then given.height, given.picture_width = size[1], size[2] end -- its square follows from them
  given.name = options.name or path:match "([^/]+)/*$":gsub("%.%a+$", ""):gsub("[^%w_-]", "_")
  given.weights = weights
  if options.type then
    given.formats = rounded(options.type, { weights, given.beside })
    given.attention = options.attention or options.type == "f32" and "plain" or "bf16"
  end
  own.attention = given.attention
  local m = setmetatable({ kind = file, opens = "see", own = own, given = given, items = items, context = items.prompt.tokens, weights = weights, size = size,
                           words_in = given.tokenizer or path }, object)
  if is_kept and (options.instruction or options.told) then
    error(("%s: a recipe wrote it, so its graphs are as they were measured, and none is told a text; evla pack --type makes a smaller one that is"):format(path), 0)
  end
  m.schedule = scheduled(m, given, options.instruction)
  if own.low then m.tokens, m.loop = #own.low, { lowest = own.words - own.bins, highest = own.words - 1 } end
  local side = own.image // own.patch
  m.rows = own.low and side * side * (given.cameras or 1) or ((side + 1) // 2) ^ 2 // 1 | 0
  m.answer, m.cameras = own.low and #own.low or given.answer or 0, given.cameras or 1
  m.before, m.words = 1, m.answer + 32
  m.output, m.exact = own.low and "action" or "logits", {}
  m.model = is_kept and evla.packed(path, given.name) or evla.checkpoint(file, given)
  return m
end

return seeing
