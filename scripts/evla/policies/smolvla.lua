-- smolvla.lua: what a SmolVLA checkpoint says of itself, as options of models/smolvla.lua: a GGUF file as vla.cpp's converter
-- writes it, or lerobot's safetensors with config.json and statistics beside them. Sizes are those of the tensors; only what no
-- tensor shows is looked up.
local evla = require "evla.core"
local files = require "evla.files"
local json = require "evla.json"
local layers_of = require "evla.layers"
local lots = require "evla.lots"
local said = require "evla.policies.smolvla_config"

local smolvla = {}

local V = "model.vlm_with_expert."
local NAMES = {
  gguf = { embed = "token_embd.weight", fc = "mm.fc.weight", patch = "vit.patch_embd.weight", positions = "vit.pos_embd", fc1 = "vit.blk.%d.fc1.weight",
           lm = "vlm.blk.%d.attn_%s.weight", expert = "aex.blk.%d.attn_%s.weight", gate = "vlm.blk.%d.ffn_gate.weight", inner = "aex.blk.%d.ffn_gate.weight",
           head = "%s.weight" },
  hf = { embed = V .. "vlm.model.text_model.embed_tokens.weight", fc = V .. "vlm.model.connector.modality_projection.proj.weight",
         patch = V .. "vlm.model.vision_model.embeddings.patch_embedding.weight", positions = V .. "vlm.model.vision_model.embeddings.position_embedding.weight",
         fc1 = V .. "vlm.model.vision_model.encoder.layers.%d.mlp.fc1.weight", lm = V .. "vlm.model.text_model.layers.%d.self_attn.%s_proj.weight",
         expert = V .. "lm_expert.layers.%d.self_attn.%s_proj.weight", gate = V .. "vlm.model.text_model.layers.%d.mlp.gate_proj.weight",
         inner = V .. "lm_expert.layers.%d.mlp.gate_proj.weight", head = "model.%s.weight" },
}

function smolvla.is(file)
  return (file.attrs["general.architecture"] or file.attrs["smolvla.architecture"]) == "smolvla" or file[NAMES.hf.expert:format(0, "q")] ~= nil
end

-- What is never rounded: positions, statistics, and the small linears around the towers.
function smolvla.is_exact(name)
  return name:find "pos_embd" or name:find "position_embedding" or name:find "state_" or name:find "action_"
end

-- ---- settings and statistics -----------------------------------------------------------------------------------------

-- What to look a setting up with, under vla.cpp's name or lerobot's.
local function settings(path, file)
  if file.format == "gguf" then
    return function(name, other) return file.attrs["smolvla." .. name] or other and file.attrs["smolvla." .. other] end, "smolvla."
  end
  local config = path:gsub("[^/]*$", "config.json")
  local c = json.read(config, true)
  if not c then error(("%s: there is no config.json beside it, which says how often it denoises and for how long it acts"):format(path), 0) end
  return function(name, other)
    if c[name] ~= nil then return c[name] end
    return other and c[other]
  end, config .. ": ", c
end

-- Means and spreads: in the file itself, in stats.json, or in the tensors that lerobot's processors name.
local function statistics(path, file)
  local out, folder = {}, path:gsub("[^/]*$", "")
  local stats = file.format ~= "gguf" and json.read(folder .. "stats.json", true) or {}
  local function processor(step)
    local p = file.format ~= "gguf" and json.read(folder .. step .. ".json", true)
    for _, s in ipairs(p and p.steps or {}) do
      if s.state_file then return evla.tensors(folder .. s.state_file) end
    end
  end
  local before, after = processor "policy_preprocessor", processor "policy_postprocessor"
  for _, what in ipairs { "state", "action" } do
    for _, which in ipairs { "mean", "std" } do
      local name, long = what .. "_" .. which, (what == "state" and "observation.state." or "action.") .. which
      local from = what == "state" and before or after
      local buffer = (what == "state" and "normalize_inputs.buffer_observation_state." or "unnormalize_outputs.buffer_action.") .. which
      local t = file[name] or file[buffer] or file.attrs["smolvla." .. name] or from and from[long]
      out[name] = t and t:list() or stats[name] or stats[long]
      if type(out[name]) ~= "table" or #out[name] == 0 then
        error(("%s: the statistics %s are missing: they stand neither in it nor in stats.json or policy_%sprocessor.json beside it"):format(path, name,
          what == "state" and "pre" or "post"), 0)
      end
    end
  end
  return out
end

-- ---- the whole -------------------------------------------------------------------------------------------------------

function smolvla.options(path, file)
  local kind = file.format == "gguf" and "gguf" or "hf"
  local n, setting, where, config = NAMES[kind], settings(path, file)
  local function shape(name, rank)
    local t = file[name]
    if not t then error(("%s: it holds no weight %s"):format(path, name), 0) end
    if t.rank ~= rank then error(("%s: %s is %s; want %d extents"):format(path, name, tostring(t), rank), 0) end
    return t.shape
  end
  local function count(...) return layers_of(path, file, ...) end
  local function want(name, other, preset)
    local v = setting(name, other)
    if v == nil or v == false then v = preset end
    if type(v) ~= "number" then error(("%s: %s%s is missing"):format(path, where, name), 0) end
    return v
  end
  local layers, experts = count(n.lm, "k"), count(n.expert, "k") -- of the last layer only keys and values are needed
  if experts < layers then
    error(("%s: num_expert_layers is %d, below the %d layers of its language model; an expert on every few layers is not supported"):format(path, experts, layers), 0)
  elseif experts > layers then
    error(("%s: its expert has %d layers, its language model %d; is it cut off?"):format(path, experts, layers), 0)
  end
  local head = want("head_dim", nil, 64)
  for _, part in ipairs { "q", "k" } do
    local name = n.lm:format(0, part)
    local rows = shape(name, 2)[1]
    if head < 1 or rows % head ~= 0 then error(("%s: %s has %d rows, which are no heads of %s (head_dim)"):format(path, name, rows, head), 0) end
  end
  local patch = file[n.patch] and file[n.patch].rank == 2 and { file[n.patch].shape[1], 3, want "patch_size", want "patch_size" } or shape(n.patch, 4)
  local embed, fc, into = shape(n.embed, 2), shape(n.fc, 2), shape(n.head:format "action_in_proj", 2)
  local side, shuffle = math.tointeger(math.sqrt(shape(n.positions, 2)[1])), math.tointeger(math.sqrt(fc[2] / patch[1]))
  if not side or not shuffle then error(("%s: its patches or the squares that %s joins are not as many as a square has"):format(path, n.fc), 0) end
  local cameras = 0 -- empty ones are masked, so that nothing changes when they are left out
  local features = config and config.input_features
  for name, f in pairs(type(features) == "table" and features or {}) do
    if type(f) == "table" and (f.type == "VISUAL" or name:find "images") and not name:find "empty_camera" then cameras = cameras + 1 end
  end
  local out = statistics(path, file)
  local steps = want "num_steps"
  for k, v in pairs {
    cameras = cameras > 0 and cameras or nil, tokens = want("tokenizer_max_length", nil, 48), names = kind, layers = layers, head = head,
    image = side * patch[4], patch = patch[4], vit_width = patch[1], vit_layers = count(n.fc1), vit_hidden = shape(n.fc1:format(0), 2)[1],
    vit_heads = want("vit_heads", nil, patch[1] // 64), vit_eps = want("vit_ln_eps", nil, 1e-6), shuffle = shuffle,
    width = embed[2], vocabulary = embed[1], heads = shape(n.lm:format(0, "q"), 2)[1] // head, kv_heads = shape(n.lm:format(0, "k"), 2)[1] // head,
    hidden = shape(n.gate:format(0), 2)[1], expert = into[1], expert_hidden = shape(n.inner:format(0), 2)[1], action = into[2],
    state = shape(n.head:format "state_proj", 2)[2], self_every = want("self_attn_every_n_layers", nil, 2), chunk = want "chunk_size", steps = steps,
    attention = file[n.fc1:format(0)].dtype == "f32" and "plain" or "bf16", min_period = want("min_period", nil, 4e-3), max_period = want("max_period", nil, 4.0), std_eps = want("norm_eps", nil, 1e-8),
  } do out[k] = v end
  said.check(path, setting, where, out)
  out.schedule = { { graph = "image" }, { graph = "vision", phase = "vit_encode" }, { graph = "prefix", phase = "prefill" }, { graph = "expert", times = steps } }
  return out
end

-- What whoever uses it has to know, see bundle.lua.
function smolvla.about(own)
  return {
    pictures = { cameras = own.cameras, height = own.image, width = own.image, fit = "resize_with_pad", mode = "bilinear", colours = "siglip" },
    prompt = { template = "%s\n", tokens = own.tokens, vocabulary = own.vocabulary },
    noise = { distribution = "normal", mean = 0, spread = 1, inputs = { x_t = { own.chunk, own.action } }, seed = "drawn anew for every answer" },
    statistics = { state_mean = own.state_mean, state_std = own.state_std, action_mean = own.action_mean, action_std = own.action_std },
    actions = { count = #own.action_mean, horizon = own.chunk },
  }
end

smolvla.inner = true -- an option of the model file: it puts out what is inside, stage by stage

-- Folders of inputs; given gets the sizes that they have, and masked where they say which cameras and words there are.
function smolvla.cases(folders, own, given)
  local out, one = {}, own.image * own.image * 3
  for i, folder in ipairs(folders) do
    local function bytes(name) return files.size(folder .. "/" .. name) or error(("%s: holds no %s"):format(folder, name), 0) end
    local all, tokens, masked = bytes "images.u8", bytes "tokens.i32" // 4, files.exists(folder .. "/image_mask.u8")
    if all % one ~= 0 then error(("%s/images.u8 holds %d bytes, no whole number of images of %d"):format(folder, all, one), 0) end
    if i == 1 then given.cameras, given.tokens, given.masked = given.cameras or all // one, given.tokens or tokens, given.masked or masked or nil end
    if given.cameras ~= all // one or given.tokens ~= tokens or (given.masked or false) ~= masked then
      local function size(cameras, words, is_masked) return ("%d cameras and %d tokens%s"):format(cameras, words, is_masked and " with masks" or "") end
      error(("%s: has %s; want %s"):format(folder, size(all // one, tokens, masked), size(given.cameras, given.tokens, given.masked)), 0)
    end
    local from = {}
    for input, name in pairs { images = "images.u8", tokens = "tokens.i32", state = "state.f32", x_t = "noise.f32" } do from[input] = folder .. "/" .. name end
    for _, mask in ipairs(masked and { "image_mask", "token_mask" } or {}) do from[mask] = ("%s/%s.u8"):format(folder, mask) end
    out[i] = { files = from }
  end
  return out
end

-- ---- what a robot has, as inputs of a call ---------------------------------------------------------------------------

smolvla.raw = { "pictures", "instruction", "state", "seed", "tokenizer" }

-- Texts with their ids, as a bundle may have them, in place of a tokenizer.
local listed = {}
listed.__index = listed
function listed:encode(text)
  local id = self.words[(text:gsub("\n$", ""))]
  if id then return { id } end
  local known = {}
  for name in pairs(self.words) do known[#known + 1] = ("\"%s\""):format(name) end
  table.sort(known)
  error(("%s: its tokenizer is a list of texts, and \"%s\" is none of them; want %s"):format(self.path, text:gsub("\n$", ""), table.concat(known, " or ")), 0)
end

local function words_of(p, tokenizer)
  local own = not tokenizer and p.items and p.items.tokenizer
  if own and own.words then return setmetatable({ path = p.weights, words = own.words }, listed) end
  local beside = tokenizer or p.weights:find "%.evla$" and p.weights or p.weights:gsub("[^/]*$", "tokenizer.json") -- a bundle has its own
  local from = files.exists(beside) and beside or p.weights
  local good, words = pcall(evla.tokenizer, from)
  if not good then
    error(from == beside and words or ("%s: it has no tokenizer of its own, and there is no %s; want SmolVLM2's there, or tell tokenizer"):format(p.weights, beside), 0)
  end
  if #words > p.said.vocabulary then
    error(("%s: has %d tokens, but %s knows %d; is it another model's?"):format(from, #words, p.weights, p.said.vocabulary), 0)
  end
  return words
end

-- The instruction's tokens, and which of them are words: padded where the call says which there are.
local function told(p, raw)
  p.words = p.words or words_of(p, raw.tokenizer)
  local ids, masks = p.words:encode(raw.instruction:gsub("\n?$", "\n", 1), { whole = true }), {}
  local n = p.given.tokens or p.given.masked and p.said.tokens or #ids
  if #ids > p.said.tokens then
    error(("%s: the text has %d tokens; the model was trained with at most %d (tokenizer_max_length)"):format(p.weights, #ids, p.said.tokens), 0)
  elseif #ids > n or #ids < n and not p.given.masked then
    error(("%s: the text has %d tokens; the call was planned for %d. With masked = true a text may have any number"):format(p.weights, #ids, n), 0)
  end
  for i = 1, n do masks[i], ids[i] = ids[i] and 1 or 0, ids[i] or 0 end
  p.given.tokens = n
  return ids, masks
end

local function noise(seed, n)
  local out, _, normal = {}, lots.from(seed)
  for i = 1, n do out[i] = normal() end
  return out
end

-- Each of them is of the kind that it should be.
local function check_raw(p, raw)
  local function want(name, good, what)
    if raw[name] ~= nil and not good then error(("%s: %s: want %s, got %s"):format(p.weights, name, what, tostring(raw[name])), 0) end
  end
  want("pictures", type(raw.pictures) == "table", "a list of files")
  want("instruction", type(raw.instruction) == "string", "a text")
  want("state", type(raw.state) == "table", "a list of numbers")
  want("seed", math.type(raw.seed) == "integer", "a whole number")
  for i, v in ipairs(raw.state or {}) do
    if type(v) ~= "number" or v ~= v or v == math.huge or v == -math.huge then
      error(("%s: state[%d]: want a number, got %s"):format(p.weights, i, tostring(v)), 0)
    end
  end
end

-- Paths of pictures and lists of numbers by the names of inputs; p.given gets the sizes that they fix, unless they are refused.
--   pictures: a file for each camera, in the order of input_features, as large as they come
--   instruction: lerobot ends it with a newline      state: in the robot's own units      seed: of the noise
function smolvla.inputs(p, raw)
  local own, given, pictures, values = p.said, p.given, {}, {}
  check_raw(p, raw)
  local sizes, most = table.move(given.sizes or {}, 1, #(given.sizes or {}), 1, {}), given.cameras
  for i, path in ipairs(raw.pictures or {}) do
    local size = evla.picture(path).shape
    local height, width = sizes[2 * i - 1] or size[1], sizes[2 * i] or size[2]
    if size[1] ~= height or size[2] ~= width then
      error(("%s: is a picture of %d x %d pixels; the call was planned for %d x %d"):format(path, size[2], size[1], width, height), 0)
    end
    sizes[2 * i - 1], sizes[2 * i], pictures["camera" .. i] = height, width, path
  end
  if #sizes > 0 then
    most = most or #sizes // 2
    if raw.pictures and #raw.pictures ~= most and not (given.masked and #raw.pictures < most and #sizes == 2 * most) then
      error(("%s: got %d pictures; want %d, one for each camera"):format(p.weights, #raw.pictures, most), 0)
    end
    given.sizes, given.cameras = sizes, most
  end
  if raw.instruction then
    values.tokens, values.token_mask = told(p, raw)
    if not given.masked then values.token_mask = nil end
    if (given.moves or 0) > 0 then given.told, values.tokens = values.tokens, nil end -- in a body it is told once and for all
  end
  if given.masked and raw.pictures then
    values.image_mask = {}
    for i = 1, given.cameras do values.image_mask[i] = raw.pictures[i] and 1 or 0 end
  end
  if raw.state then
    if #raw.state ~= #own.state_mean then
      error(("%s: its statistics are of a state of %d numbers (state_mean); got %d"):format(p.weights, #own.state_mean, #raw.state), 0)
    end
    values.state = {}
    for i = 1, own.state do values.state[i] = raw.state[i] or 0 end
  end
  if raw.seed then values.x_t = noise(raw.seed, own.chunk * own.action) end
  return pictures, values
end

-- What the file says, one against the other and against what a caller wants.
function smolvla.check(path, own, given)
  for _, what in ipairs { "state", "action" } do
    local means, spreads = own[what .. "_mean"] or {}, own[what .. "_std"] or {}
    if #means ~= #spreads then error(("%s: the statistics say that %s has %d means and %d spreads"):format(path, what, #means, #spreads), 0) end
    if #means > own[what] then error(("%s: the statistics are of %d numbers of %s; the model takes at most %d"):format(path, #means, what, own[what]), 0) end
  end
  if given.tokens and given.tokens > own.tokens then
    error(("%s: the text has %d tokens; the model was trained with at most %d (tokenizer_max_length)"):format(path, given.tokens, own.tokens), 0)
  end
  if given.cameras and own.cameras and given.cameras ~= own.cameras then
    error(("%s: it sees through %d cameras (input_features); got %d"):format(path, own.cameras, given.cameras), 0)
  end
end

return smolvla
