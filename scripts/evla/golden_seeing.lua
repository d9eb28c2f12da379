-- golden_seeing.lua: golden runs of models that see (evla.see): a picture and an instruction, and all that comes of them. Beside what a call
-- has, pixels, rows, logits and action of a text that is known to its end, they have two stages of whole numbers: ids, the text as the
-- model's tokenizer and prompt make it, and tokens, what it says to it by itself, one after the other, as pipelines do.
local asking = require "evla.asking"
local bundle = require "evla.bundle"
local evla = require "evla"
local json = require "evla.json"
local lots = require "evla.lots"
local seeing = require "evla.seeing"

local golden = {}
local ANSWER, HEIGHT, WIDTH = 7, 120, 160 -- tokens of an answer in words; pixels of a picture by lot

-- Which architecture's it is; nil: it is no model that sees.
golden.find = seeing.is

-- The sizes that a record keeps, beside those of a policy.
golden.sizes = { height = true, width = true, before = true, words = true, cameras = true }

-- The model with such sizes, in f32 unless told otherwise, a bundle as it is.
local function opened(path, how, sizes)
  local is_packed = path:find "%.evla$" ~= nil
  local options = { answer = ANSWER, size = { sizes.height, sizes.width }, cameras = sizes.cameras, mmproj = how.mmproj, unnorm_key = how.unnorm_key }
  options.type = how.type ~= "file" and (how.type or not is_packed and "f32") or nil
  if not (is_packed and bundle.read(path, evla.attributes(path)).graphs == "kept") then options.kv = "f32" end
  local m = evla.see(path, options)
  m.before, m.words = sizes.before or m.before, sizes.words or m.words
  return m
end

function golden.check(path, how, sizes) return opened(path, how, sizes) end

local function flat(v, out)
  if type(v) ~= "table" then out[#out + 1] = string.char(v) return out end
  for _, x in ipairs(v) do flat(x, out) end
  return out
end

-- Five words of letters.
local function words(seed)
  local bits, out = lots.from(seed), {}
  for i = 1, 5 do
    out[i] = ""
    for _ = 1, 2 + bits() % 6 do out[i] = out[i] .. string.char(97 + bits() % 26) end
  end
  return table.concat(out, " ")
end

-- A model and what it is fed: the first of a case, or by lot. draw(name, type): bytes by lot.
function golden.write(path, how, sizes, draw)
  local case, m, pictures = how.case and asking.read({ how.case })[1], nil, {}
  local size = case and asking.size { case } or { HEIGHT, WIDTH }
  sizes.height, sizes.width, sizes.cameras = size[1], size[2], case and #case.pictures > 1 and #case.pictures or sizes.cameras
  m = opened(path, how, sizes)
  local text = case and case.instruction or words(how.seed)
  local before, after = asking.tokens(m, text)
  for i, name in ipairs(asking.pictures(m)) do
    pictures[name] = case and table.concat(flat(evla.picture(case.pictures[i]):list(), {})) or draw(name, ("u8[%d,%d,3]"):format(size[1], size[2]))
  end
  m.before, m.words = #before, #after + (m.own.chunk and 0 or m.answer)
  sizes.before, sizes.words = m.before, m.words
  local answer = not m.own.chunk and asking.answer(m, pictures, before, after)
  m.asked = text
  return m, { bytes = pictures, values = asking.values(m, before, after, answer, 0, case and case.state) }
end

-- A list of whole numbers as a file.
local function write_whole(path, list)
  local head = ("{'descr': '<i4', 'fortran_order': False, 'shape': (%d,), }"):format(#list)
  head = head .. (" "):rep(-(#head + 11) % 64) .. "\n"
  local out = { "\147NUMPY\1\0", ("<I2"):pack(#head), head }
  for i, v in ipairs(list) do out[i + 3] = ("<i4"):pack(v) end
  evla.make_folder(path:match "^(.*)/")
  evla.write_file(path, table.concat(out))
end

-- Stages that no call has, as files of a folder: their names before and behind those of the call. bytes(name): what an input holds.
function golden.beside(m, text, to, bytes)
  local before, after = asking.tokens(m, text)
  write_whole(to .. "/ids.npy", table.move(after, 1, #after, #before + 1, { table.unpack(before) }))
  if m.own.chunk then return { "ids" }, {} end
  local pictures = {}
  for _, name in ipairs(asking.pictures(m)) do pictures[name] = bytes(name) end
  write_whole(to .. "/tokens.npy", asking.answer(m, pictures, before, after))
  return { "ids" }, { "tokens" }
end

-- What a record says of its weights: a hash of each file.
function golden.hash(m)
  local files, own, out = {}, m.weights, {}
  if own:find "%.index%.json$" then
    local folder, seen = own:match "^(.*)/" or ".", {}
    for _, name in pairs(json.read(own).weight_map) do
      if not seen[name] then files[#files + 1], seen[name] = folder .. "/" .. name, true end
    end
    table.sort(files)
  else files[1] = own end
  files[#files + 1] = m.own.beside
  for i, path in ipairs(files) do out[i] = evla.file_hash(path) end
  return table.concat(out, " "), files
end

return golden
