-- mini_vla.lua: what a checkpoint of github.com/keivalya/mini-vla says of itself, as options of models/mini_vla.lua.
local json = require "evla.json"

local mini_vla = {}

function mini_vla.is(file) return file["diffusion_head.denoise_model.net.0.weight"] ~= nil and file["txt_encoder.gru.weight_hh_l0"] ~= nil end

function mini_vla.options(path, file)
  local function shape(name, rank)
    local t = file[name]
    if not t then error(("%s: it holds no weight %s"):format(path, name), 0) end
    if t.rank ~= rank then error(("%s: %s is %s; want %d extents"):format(path, name, tostring(t), rank), 0) end
    return t.shape
  end
  local width = shape("txt_encoder.gru.weight_hh_l0", 2)[2]
  local action = shape("diffusion_head.denoise_model.net.4.weight", 2)[1]
  local time = shape("diffusion_head.denoise_model.net.0.weight", 2)[2] - action - width
  if time < 2 or time % 2 ~= 0 then
    error(("%s: diffusion_head.denoise_model.net.0.weight leaves %d features for the time; want an even number"):format(path, time), 0)
  end
  local steps = shape("diffusion_head.betas", 1)[1]
  return { size = 64, tokens = 1, width = width, text = shape("txt_encoder.embed.weight", 2)[2], state = shape("state_encoder.net.0.weight", 2)[2],
           action = action, time = time, steps = steps,
           schedule = { { graph = "sense" }, { graph = "act", times = steps, phase = "expert" } } }
end

-- What whoever uses it has to know, see bundle.lua. Its words stand in the file's metadata.
function mini_vla.about(own, file)
  local ok, words = pcall(json.decode, file.attrs.vocab or "")
  return {
    tokenizer = ok and type(words) == "table" and { words = words, from = "vocab" } or nil,
    pictures = { cameras = 1, height = own.size, width = own.size, fit = "as it is", colours = "none" },
    prompt = { template = "%s", tokens = own.tokens, vocabulary = file["txt_encoder.embed.weight"].shape[1] },
    noise = { distribution = "normal", mean = 0, spread = 1, inputs = { x = { 1, own.action }, noise = { own.steps, 1, own.action } },
              seed = "drawn anew for every answer" },
    statistics = { none = "states and actions are used as they are" },
    actions = { count = own.action, horizon = 1 },
  }
end

local function flat(list, out)
  out = out or {}
  for _, v in ipairs(list) do
    if type(v) == "table" then flat(v, out) else out[#out + 1] = v end
  end
  return out
end

-- The cases of a JSON file, { cases = { { image_u8_hwc, size, token, state, x_T, noise, action }, ... } }: the inputs of each, the
-- size of its image, how many tokens its text has (token: one of them, or a list), and the action that is known for it, if any.
function mini_vla.read(path)
  local all, out = json.read(path).cases, {}
  if type(all) ~= "table" then error(("%s: holds no list \"cases\""):format(path), 0) end
  for i, c in ipairs(all) do
    local values = { image = c.image_u8_hwc, token = c.token, state = c.state, x = c.x_T, noise = c.noise }
    for name, v in pairs(values) do values[name] = flat { v } end
    out[i] = { size = c.size and c.size[1] or 64, tokens = c.token and #values.token or 1, action = c.action and flat { c.action }, values = c.image_u8_hwc and values }
  end
  return out
end

-- Those of some files as cases of a recipe; given.size and given.tokens become theirs.
function mini_vla.cases(paths, _, given)
  local out = {}
  for _, path in ipairs(paths) do
    for _, case in ipairs(mini_vla.read(path)) do
      if given.size and given.size ~= case.size then
        error(("%s: has images of %d and of %d pixels; want cases of one size"):format(path, given.size, case.size), 0)
      end
      if given.tokens and given.tokens ~= case.tokens then
        error(("%s: has texts of %d and of %d tokens; want cases of one length"):format(path, given.tokens, case.tokens), 0)
      end
      given.size, given.tokens = case.size, case.tokens
      out[#out + 1] = { values = case.values }
    end
  end
  return out
end

return mini_vla
