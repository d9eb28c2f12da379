-- openvla_oft.lua: OpenVLA-OFT's way from what OpenVLA's towers saw to a chunk of actions, for openvla.lua. Kim et al. 2025.
local answer, connectors, llama = require "answer", require "connectors", require "llama"
local oft, MOST_TEXT = {}, 512

-- The text of the option `told`, whose first token is what begins every text.
function oft.text(p)
  if not p.told then return {} end
  local before, after = answer.split(p.told)
  if #before ~= 1 then error(("told: want one token before the picture, got %d"):format(#before), 0) end
  return table.move(after, 1, #after, 2, before)
end

-- What the robot knows of itself, in its own units, between -1 and 1: the code's normalize_proprio.
local function felt(g, p)
  local function row(v) return g:const(("f32[%d]"):format(#v), v) end
  local twice = {}
  for i, low in ipairs(p.proprio_low) do twice[i] = 2 / (p.proprio_high[i] - low + 1e-8) end
  local x = g.mul { g.sub { g:input("proprio", ("f32[%d]"):format(p.proprio)), row(p.proprio_low) }, row(twice) }
  return g.clamp { g.sub { x, 1 }, min = -1, max = 1 }
end

-- [BOS, what is seen, proprio, the rest of the text, an empty row for each number, the text's end], each seeing all. What stands
-- before each empty row is read by a head of residual blocks: 7 rows side by side are one action. ids i32[T] begin with BOS; as many
-- as the text told has. scaled(x): numbers between -1 and 1 in the robot's units.
function oft.chunk(g, p, scaled)
  local function norm(x, name, width)
    local type = ("f32[%d]"):format(width)
    return g.layer_norm { x, w = g:weight(name .. ".weight", type, "ones"), b = g:weight(name .. ".bias", type) }
  end
  local function behind(n) return p.told and #p.told - 1 + n or ("T+%d"):format(n) end
  local entries, n_seen = #p.low, p.cameras * (p.image // p.patch) * (p.image // p.patch)
  local text = llama.embed(g, p, g:input("ids", ("i32[%s]"):format(p.told and #p.told - 1 or "T")))
  local parts = { axis = 0, g.slice { text, axis = 0, start = 0, stop = 1 }, g:input("rows", ("f32[%d,%d]"):format(n_seen, p.width)) }
  if p.proprio > 0 then
    local known = g.reshape { felt(g, p), shape = { 1, p.proprio } }
    parts[3] = connectors.mlp(g, known, { names = { "proprio_projector.fc1", "proprio_projector.fc2" }, widths = { p.width, p.width } })
  end
  local n, before = p.chunk * entries, n_seen + (p.proprio > 0 and 1 or 0)
  parts[#parts + 1] = g.slice { text, axis = 0, start = 1, stop = 0 }
  parts[#parts + 1] = g.fill { shape = { n, p.width }, value = 0 }
  parts[#parts + 1] = llama.embed(g, p, g:const("i32[1]", { 2 }))
  local places = {}
  for i = 1, before + n + MOST_TEXT do places[i] = i - 1 end
  local position = g.slice { g:const(("i32[%d]"):format(#places), places), axis = 0, start = 0, stop = behind(before + n + 1) }
  local hidden = llama.whole(g, p, g.concat(parts), position)
  local own = g.slice { hidden, axis = 0, start = behind(before - 1), stop = behind(before - 1 + n) }
  local x = norm(g.reshape { own, shape = { p.chunk, entries * p.width } }, "action_head.model.layer_norm1", entries * p.width)
  local function linear(y, name, out) return connectors.mlp(g, y, { names = { "action_head.model." .. name }, widths = { out } }) end
  x = g.relu(linear(x, "fc1", p.width))
  for i = 0, 1 do
    local block = ("mlp_resnet_blocks.%d.ffn."):format(i)
    x = g.add { x, g.relu(linear(norm(x, "action_head.model." .. block .. "0", p.width), block .. "1", p.width)) }
  end
  g:output("action", scaled(linear(norm(x, "action_head.model.layer_norm2", p.width), "fc2", entries)))
end

return oft
