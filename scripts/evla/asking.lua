-- asking.lua: what a model that sees is asked, pictures and an instruction, as inputs of its graphs: for recipes, which measure it by
-- cases that are known, and for golden runs.
--   asked = asking.read { "case", "cases.json" }      m = evla.see("openvla-7b", { size = asking.size(asked), type = "f32", answer = 7 })
--   evla.recipe "small" (m:call { rules = ..., cases = asking.cases(m, asked) })
-- A case is a folder with picture.png (or .jpg, .jpeg; picture1, picture2, ... of several views) and instruction.txt, or stands in a JSON
-- file, { "cases": [{ "picture": "a.png", "instruction": "..." }] }, its pictures beside it. Of several views "pictures" is a list.
-- "action" is what was done then, in the robot's units, "state" what it knew of itself, where the model asks. The answer to a case
-- without an action is the model's own.
local evla = require "evla.core"
local files = require "evla.files"
local json = require "evla.json"

local asking = {}

-- ---- cases of files --------------------------------------------------------------------------------------------------

local function picture_at(stem)
  for _, ending in ipairs { ".png", ".jpg", ".jpeg" } do
    if files.exists(stem .. ending) then return stem .. ending end
  end
end

local function of_folder(folder)
  local text, pictures = files.read(folder .. "/instruction.txt"), { picture_at(folder .. "/picture") }
  if not text then error(("%s: holds no instruction.txt"):format(folder), 0) end
  local more = not pictures[1] and picture_at(folder .. "/picture1")
  while more do
    pictures[#pictures + 1] = more
    more = picture_at(("%s/picture%d"):format(folder, #pictures + 1))
  end
  if #pictures == 0 then error(("%s: holds no picture.png, .jpg or .jpeg"):format(folder), 0) end
  return { from = folder, pictures = pictures, instruction = text:match "^%s*(.-)%s*$" }
end

local function numbers(from, what, v)
  if v == nil then return nil end
  for i = 1, type(v) == "table" and math.max(#v, 1) or 1 do
    if type(v) ~= "table" or type(v[i]) ~= "number" then error(("%s: \"%s\" is no list of numbers"):format(from, what), 0) end
  end
  return v
end

local function of_list(path, out)
  local all, folder = json.read(path).cases, path:match "^(.*)/" or "."
  if type(all) ~= "table" or #all == 0 then error(("%s: holds no list \"cases\""):format(path), 0) end
  for i, c in ipairs(all) do
    local from, pictures = ("%s: case %d"):format(path, i), type(c) == "table" and (c.pictures or { c.picture })
    if type(pictures) ~= "table" or type(pictures[1]) ~= "string" or type(c.instruction) ~= "string" then
      error(from .. ": want { \"picture\": FILE, \"instruction\": TEXT }", 0)
    end
    local own = {}
    for k, name in ipairs(pictures) do own[k] = tostring(name):find "^/" and name or folder .. "/" .. tostring(name) end
    out[#out + 1] = { from = from, pictures = own, instruction = c.instruction, action = numbers(from, "action", c.action), state = numbers(from, "state", c.state) }
  end
end

-- Cases of some folders and JSON files.
function asking.read(paths)
  local out = {}
  for _, path in ipairs(paths) do
    if path:find "%.json$" then of_list(path, out) else out[#out + 1] = of_folder((path:gsub("/+$", ""))) end
  end
  return out
end

-- The height and width that all their pictures have.
function asking.size(cases)
  local size, first
  for _, c in ipairs(cases) do
    for _, path in ipairs(c.pictures) do
      local is = evla.picture(path).shape
      size, first = size or { is[1], is[2] }, first or path
      if is[1] ~= size[1] or is[2] ~= size[2] then
        error(("%s: is a picture of %d x %d pixels, %s of %d x %d; want cases of one size"):format(path, is[2], is[1], first, size[2], size[1]), 0)
      end
    end
  end
  return size
end

-- ---- as inputs -------------------------------------------------------------------------------------------------------

-- Names of the inputs that are pictures.
function asking.pictures(m)
  local out = {}
  for i = 1, m.cameras do out[i] = m.cameras > 1 and "picture" .. i or "picture" end
  return out
end

-- The tokens of an instruction, before and behind the picture.
function asking.tokens(m, instruction)
  m.tokenizer = m.tokenizer or evla.tokenizer(m.words_in)
  local before, after = m:prompt(instruction):match "^(.-)<image>(.*)$"
  return m.tokenizer:encode(before, { whole = true }), m.tokenizer:encode(after)
end

-- The tokens of an action that is known: the bins in which its numbers lie.
local function tokens_of(m, from, action)
  local own, out = m.own, {}
  if #action ~= #own.low then error(("%s: has an action of %d numbers; the model's have %d"):format(from, #action, #own.low), 0) end
  for i, v in ipairs(action) do
    if own.scaled[i] == 1 then v = 2 * (v - own.low[i]) / (own.high[i] - own.low[i]) - 1 end
    v = v == v and math.max(-1, math.min(1, v)) or 0
    out[i] = own.words - 1 - math.floor((v + 1) / 2 * (own.bins - 1))
  end
  return out
end

-- What the model itself says to pictures, by the names of inputs, behind those tokens: so many tokens, the likeliest each.
function asking.answer(m, pictures, before, after)
  local t <close> = evla.text { model = m.model, context = #before + m.rows + #after + m.answer, others = { "image", "vision" },
                                symbols = { { "H", m.size[1] }, { "W", m.size[2] } } }
  local rows, ids = t:run("vision", t:run("image", pictures)).rows, { table.unpack(before) }
  for _ = 1, m.rows do ids[#ids + 1] = -1 end
  table.move(after, 1, #after, #ids + 1, ids)
  return t:complete({ ids = ids, rows = rows, tokens = m.answer, loop = evla.loop.generate(m.loop or {}), ignore_end = true }).tokens
end

-- Inputs beside the pictures, as numbers: tokens before and behind the picture, the answer's among them, padded to `length` behind it, and
-- where those stand that come before the answer's; or, for OFT's head, all tokens and the state.
function asking.values(m, before, after, answer, length, state)
  if m.own.chunk then
    return { ids = table.move(after, 1, #after, #before + 1, { table.unpack(before) }), proprio = (m.own.proprio or 0) > 0 and state or nil }
  end
  local all, judged = { table.unpack(after) }, {}
  for i = 1, m.answer do
    all[#after + i], judged[i] = answer[i], #before + m.rows + #after + i - 2
  end
  for i = #all + 1, length or 0 do all[i] = 0 end
  return { before = before, after = all, judged = judged }
end

-- Cases as evla.recipe takes them; the model's calls get the length that their texts have.
function asking.cases(m, cases)
  local parts, longest, out, names = {}, 0, {}, asking.pictures(m)
  for i, c in ipairs(cases) do
    if #c.pictures ~= #names then error(("%s: has %d pictures; the model sees %d"):format(c.from, #c.pictures, #names), 0) end
    local before, after = asking.tokens(m, c.instruction)
    local pictures, seen = {}, {}
    for k, name in ipairs(names) do pictures[name] = c.pictures[k] end
    parts[i] = { before, after, nil, pictures }
    if m.own.chunk then
      if #(c.state or {}) ~= (m.own.proprio or 0) then error(("%s: has a state of %d numbers; the model asks for %d"):format(c.from, #(c.state or {}), m.own.proprio or 0), 0) end
      if i > 1 and #after ~= longest then error(("%s: its text has %d tokens, that of %s %d; OFT's head reads texts of one length"):format(c.from, #after, cases[1].from, longest), 0) end
    elseif c.action and m.own.low then parts[i][3] = tokens_of(m, c.from, c.action)
    else
      for name, path in pairs(pictures) do seen[name] = evla.picture(path) end
      parts[i][3] = asking.answer(m, seen, before, after)
    end
    m.before, longest = #before, math.max(longest, #after + #(parts[i][3] or {}))
  end
  m.words = longest
  for i, p in ipairs(parts) do out[i] = { pictures = p[4], values = asking.values(m, p[1], p[2], p[3], longest, cases[i].state) } end
  return out
end

return asking
