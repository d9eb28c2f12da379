-- smolvla_config.lua: what a checkpoint says of itself that would make it act otherwise than models/smolvla.lua does is refused by name;
-- so is what contradicts its own tensors and statistics. Nothing of it would be seen in an action, which is only a little wrong.
local config = {}

-- Settings of lerobot's SmolVLAConfig, and the value of each that is supported.
local ONLY = {
  { "type", "smolvla" }, { "attention_mode", "cross_attn" }, { "add_image_special_tokens", false }, { "adapt_to_pi_aloha", false },
  { "use_delta_joint_actions_aloha", false },
}
-- How lerobot normalises what comes and goes.
local NORMS = { { "STATE", "MEAN_STD" }, { "ACTION", "MEAN_STD" }, { "VISUAL", "IDENTITY" } }

-- The width of a feature that the settings describe; nil: they do not.
local function width_of(features, name)
  local f = type(features) == "table" and features[name]
  return type(f) == "table" and type(f.shape) == "table" and f.shape[1] or nil
end

-- setting(name) looks one up, where stands before its name in a sentence; own: the options that tensors and statistics gave.
function config.check(path, setting, where, own)
  local function refuse(name, v, want, ...)
    error(("%s: %s%s is %s; %s"):format(path, where, name, tostring(v), want:format(...)), 0)
  end
  for _, o in ipairs(ONLY) do
    local v = setting(o[1])
    if v ~= nil and v ~= o[2] then refuse(o[1], v, "only %s is supported", tostring(o[2])) end
  end
  local norms = setting "normalization_mapping"
  for _, o in ipairs(type(norms) == "table" and NORMS or {}) do
    if norms[o[1]] ~= nil and norms[o[1]] ~= o[2] then refuse("normalization_mapping." .. o[1], norms[o[1]], "only %s is supported", o[2]) end
  end
  local size = setting "resize_imgs_with_padding"
  if type(size) == "table" and (size[1] ~= own.image or size[2] ~= own.image) then
    refuse("resize_imgs_with_padding", ("%s x %s"):format(size[1], size[2]), "its vision tower has positions for %d x %d pixels", own.image, own.image)
  end
  for _, o in ipairs {
    { "num_vlm_layers", own.layers, "layers of the language model" }, { "num_expert_layers", own.layers, "layers of the language model; an expert on some of them is not supported" },
    { "max_state_dim", own.state, "numbers that its state_proj takes" }, { "max_action_dim", own.action, "numbers that its action_in_proj takes" },
  } do
    local v = setting(o[1])
    if type(v) == "number" and v > 0 and v ~= o[2] then refuse(o[1], v, "there are %d %s", o[2], o[3]) end
  end
  for _, o in ipairs { { "input_features", "observation.state", "state" }, { "output_features", "action", "action" } } do
    local v, n = width_of(setting(o[1]), o[2]), #own[o[3] .. "_mean"]
    if v and v ~= n then refuse(("%s.%s"):format(o[1], o[2]), ("of %s numbers"):format(v), "its statistics are of %d", n) end
  end
end

return config
