-- golden.lua: the field's worst bug is the silent mismatch: a policy that runs, and acts a little wrong.
--   evla golden write MODEL -o FOLDER [--case CASE | --seed 1] [--type T] [--cameras N]
--     records fixed inputs, the first of a case as evla.policy { cases = ... } has them, and every stage that a policy makes of them, with what made it
--   evla golden check FOLDER [--model FILE] [--type T] [--within X]
--     feeds the same inputs to it, or to another file of the same policy, and says how far each stage is off
-- Models of evla.see are fed a picture and an instruction, see golden_seeing.lua; their cases are those of asking.lua.
-- A folder holds golden.json, inputs/NAME.u8 (raw numbers, as a case has them) and stages/NAME.npy.
local call = ...
local bundle = require "evla.bundle"
local evla = require "evla"
local golden_seeing = require "evla.golden_seeing"
local json = require "evla.json"
local lots = require "evla.lots"
local policy = require "evla.policy"
local pretty = require "evla.pretty"

local VERSION = 1

-- How far a stage may be off its record, as a share of its length, by the coarsest number format of either model's weights: what f32
-- leaves is the order of sums; the others are somewhat above what such rounding did to the worst stage of a small SmolVLA of seeded
-- weights (bf16 0.016, q8_0 0.087, q4_0 0.78), whose weights know of no robot. --within asks for less.
local BOUNDS = { f32 = 1e-5, f16 = 0.005, bf16 = 0.03, i8 = 0.15, q8_0 = 0.15, q6_k = 0.15, q5_0 = 0.7, q5_1 = 0.7, q5_k = 0.7, q4_0 = 1, q4_1 = 1, q4_k = 1 }
local COARSEST = 1

local function fail(code, format, ...)
  io.stderr:write("evla: golden: " .. format:format(...) .. "\n")
  return code
end

local function full(path) return path:sub(1, 1) == "/" and path or call.here .. "/" .. path end

local OPTIONS = { write = { "o", "case", "seed", "type", "cameras", "mmproj", "unnorm_key" }, check = { "model", "type", "within", "mmproj", "unnorm_key" } }
local known = OPTIONS[call.file]
if not known then return fail(2, "want \"write\" or \"check\", got \"%s\": evla golden write MODEL -o FOLDER", call.file) end
for name, v in pairs(call.options) do
  local is_known = false
  for _, k in ipairs(known) do is_known = is_known or k == name end
  if not is_known then return fail(2, "there is no --%s; %s has --%s", name, call.file, table.concat(known, ", --")) end
  if v == true then return fail(2, "--%s: what is it to be?", name) end
end
local subject = call.words[1]
if not subject then return fail(2, call.file == "write" and "a model is missing: evla golden write MODEL -o FOLDER" or "a folder is missing: evla golden check FOLDER") end
if call.words[2] then return fail(2, "one at a time, got also \"%s\"", call.words[2]) end

-- ---- a policy and what it takes --------------------------------------------------------------------------------------

-- The module of policies/ whose file this is, and its name.
local function module_of(path)
  local name
  if path:find "%.evla$" then name = bundle.open(path, "policy").kind elseif call.exists(path) ~= "folder" or call.exists(path .. "/model.safetensors") then name = policy.find(path) end
  if not name then error(("%s: it is no policy that is known, nor a model that sees"):format(path), 0) end
  return require("evla.policies." .. name), name
end

-- What a session of it takes: the types of its inputs.
local function types_of(p)
  local s = evla.session(p:call { workers = 1 })
  local inputs = s:info().inputs
  s:close()
  return inputs
end

-- It, with all that it can put out, and the types of its inputs. Exact unless told otherwise, a bundle as it is.
local function opened(path, kind, given)
  local p = evla.policy(path, function(own)
    local options = { inner = kind.inner }
    for k, v in pairs(given(own)) do options[k] = v end
    if not options.type and not own.packed then options.type = "f32" end
    if options.type == "file" then options.type = nil end
    return options
  end)
  return p
end

-- Options of a model file: sizes, cameras and the like, and the number format of its matrices.
local function with_type(sizes, type)
  local out = { type = type }
  for k, v in pairs(sizes) do out[k] = v end
  return out
end

-- The number format that its weights are furthest from f32 in. files: those of weights.
local function coarsest(path, kind, files)
  local worst = "f32"
  local function look(name)
    if (BOUNDS[name] or COARSEST) > BOUNDS[worst] then worst = BOUNDS[name] and name or "q4_0" end
  end
  if path:find "%.evla$" then
    for _, w in ipairs(call.model(path).weights) do look(w.type:match "^[^%[]+") end
  elseif kind ~= "file" then look(kind or "f32")
  else
    for _, one in ipairs(files) do
      local file = evla.tensors(one)
      for _, name in ipairs(file.names) do look(file[name].dtype) end
    end
  end
  return worst
end

local FORMATS = { u8 = "B", bool = "B", i32 = "<i4", i64 = "<i8", f32 = "<f", f64 = "<d" }

-- "u8[2,3]" -> "u8", how to write one, 6
local function parts_of(type)
  local kind, n = type:match "^[^%[]+", 1
  for extent in type:gmatch "%d+%f[,%]]" do n = n * math.tointeger(tonumber(extent)) end
  if not FORMATS[kind] then error(("an input is %s; want one of u8, bool, i32, i64, f32, f64"):format(type), 0) end
  return kind, FORMATS[kind], n
end

local function bytes_of(type)
  local _, format, n = parts_of(type)
  return format:packsize() * n
end

-- Runs it on files, and gives the names of the stages, which lie in a folder then, in the order in which they were made. text: what a
-- model that sees is told.
local function replay(p, types, folder, to, text)
  local files, out = {}, {}
  for name, type in pairs(types) do files[name] = ("%s/inputs/%s.%s"):format(folder, name, (parts_of(type))) end
  local act = evla.call "golden" (p:call { files = files, dump = to })
  act:run()
  local before, behind = {}, {}
  if text then
    before, behind = golden_seeing.beside(p, text, to, function(name)
      local file <close> = assert(io.open(files[name], "rb"))
      return file:read "a"
    end)
  end
  for _, list in ipairs { before, act.figures.dumped, behind } do table.move(list, 1, #list, #out + 1, out) end
  return out
end

local function tensor_of(folder, name)
  local file = evla.tensors(("%s/%s.npy"):format(folder, name))
  return file[file.names[1]]
end

-- ---- write -----------------------------------------------------------------------------------------------------------

local function whole(name, least)
  local text = call.options[name]
  local n = text and math.tointeger(tonumber(text))
  if text and not (n and n >= least) then error(("--%s: want a whole number from %d on, got \"%s\""):format(name, least, text), 0) end
  return n
end

-- Numbers by lot; those of f32 are normal.
local function drawn(type, seed, below)
  local kind, format, n = parts_of(type)
  local is_real, out, bits, normal = kind == "f32" or kind == "f64", {}, lots.from(seed)
  for i = 1, n do out[i] = format:pack(is_real and normal() or bits() % below) end
  return table.concat(out)
end

local case = call.options.case and full(call.options.case)

-- The bytes of an input that a case has: of a file, or its numbers.
local function known(from, name, type)
  local path, values, bytes = (from.files or {})[name], (from.values or {})[name], (from.bytes or {})[name]
  if not path and not values and not bytes then
    if not case then return nil end
    error(("%s: it has nothing for the input %s, %s"):format(call.options.case, name, type), 0)
  end
  if path then
    local file <close> = assert(io.open(path, "rb"))
    bytes = file:read "a"
  elseif values then
    local _, format = parts_of(type)
    local out = {}
    for i, v in ipairs(values) do out[i] = format:pack(v) end
    bytes = table.concat(out)
  end
  if #bytes ~= bytes_of(type) then
    error(("%s: holds %d bytes for the input %s, %s, which takes %d"):format(path or call.options.case, #bytes, name, type, bytes_of(type)), 0)
  end
  return bytes
end

-- The bytes of an input by lot; whole numbers are below.
local function by_lot(name, type, below)
  local seed = whole("seed", 0) or 1
  for i = 1, #name do seed = seed * 31 + name:byte(i) end -- its own, whatever the order
  return drawn(type, seed, ({ u8 = 256, bool = 2 })[parts_of(type)] or below or 2)
end

-- A policy, or a model that sees, and its inputs as far as they are known.
local function subject_of(path, sizes)
  local o = call.options
  local how = { type = o.type, case = case, seed = whole("seed", 0) or 1, mmproj = o.mmproj and full(o.mmproj), unnorm_key = o.unnorm_key }
  if golden_seeing.find(path, how) then return golden_seeing.write(path, how, sizes, by_lot) end
  local kind, from = module_of(path), nil
  return opened(path, kind, function(own)
    from = case and kind.cases({ case }, own, sizes)[1]
    return with_type(sizes, o.type)
  end), from
end

-- The files of its weights, and their hashes.
local function hash_of(p)
  if p.opens == "see" then return golden_seeing.hash(p) end
  return evla.file_hash(p.weights), { p.weights }
end

local function write()
  if not call.options.o then return fail(2, "-o: a folder is missing: evla golden write MODEL -o FOLDER") end
  if case and call.options.seed then return fail(2, "--seed: the inputs are those of --case") end
  local path, folder, sizes = full(subject), full(call.options.o), { cameras = whole("cameras", 1) }
  if call.exists(folder .. "/golden.json") then return fail(2, "%s: holds a golden run already; choose another folder, or remove it", call.options.o) end
  local p, from = subject_of(path, sizes)
  local types, inputs, stages = types_of(p), {}, json.array {}
  for input, type in pairs(types) do
    local file = ("%s/inputs/%s.%s"):format(folder, input, (parts_of(type)))
    evla.make_folder(folder .. "/inputs")
    evla.write_file(file, from and known(from, input, type) or by_lot(input, type, p.items.prompt.vocabulary))
    inputs[input] = { type = type, sha256 = evla.file_hash(file) }
  end
  for i, stage in ipairs(replay(p, types, folder, folder .. "/stages", p.asked)) do
    stages[i] = { name = stage, type = tostring(tensor_of(folder .. "/stages", stage)) }
  end
  local machine, hash, files = call.machine(), hash_of(p)
  evla.write_file(folder .. "/golden.json", json.encode({
    version = VERSION, made_by = "evla " .. evla.version, kind = p.kind, model = subject, sha256 = hash, type = call.options.type, mmproj = call.options.mmproj,
    unnorm_key = call.options.unnorm_key, instruction = p.asked,
    numerics = { coarsest = coarsest(path, call.options.type, files), machine = machine.planned, features = machine.features }, sizes = sizes, inputs = inputs, stages = stages,
  }, true, true) .. "\n")
  if not call.quiet then print(("%s: %d stages of %s"):format(call.options.o, #stages, subject)) end
  return 0
end

-- ---- check -----------------------------------------------------------------------------------------------------------

-- The record of a folder, whose names and types were checked: they become paths and sizes.
local function record_of(folder)
  local path = folder .. "/golden.json"
  if call.exists(path) ~= "file" then error(("%s: holds no golden.json; evla golden write makes one"):format(subject), 0) end
  local g = json.read(path)
  if g.version ~= VERSION then error(("%s: is of version %s; this engine knows %d"):format(path, tostring(g.version), VERSION), 0) end
  local function want(good, what) if not good then error(("%s: %s"):format(path, what), 0) end end
  local function is_name(s) return type(s) == "string" and s:find "^[%w_.-]+$" and not s:find "^%.+$" end
  want(type(g.kind) == "string" and type(g.model) == "string" and type(g.sha256) == "string", "does not say which model it is of")
  want(type(g.inputs) == "table" and next(g.inputs), "has no inputs")
  want(type(g.stages) == "table" and #g.stages > 0, "has no stages")
  want(type(g.sizes) == "table" and type(g.numerics) == "table" and type(g.numerics.coarsest) == "string", "does not say how it was made")
  for name, n in pairs(g.sizes) do
    want(math.type(n) == "integer" and (name == "cameras" or name == "tokens" or name == "size" or golden_seeing.sizes[name]), ("its size \"%s\" is none"):format(name))
  end
  for name, i in pairs(g.inputs) do
    want(is_name(name) and type(i) == "table" and type(i.type) == "string", ("its input \"%s\" is not whole"):format(name))
    local file = ("%s/inputs/%s.%s"):format(folder, name, (parts_of(i.type)))
    want(call.exists(file) == "file" and evla.file_hash(file) == i.sha256, ("its input %s is not the one that was recorded"):format(name))
  end
  for _, s in ipairs(g.stages) do
    want(type(s) == "table" and is_name(s.name) and type(s.type) == "string", "has a stage without a name or a type")
    want(call.exists(("%s/stages/%s.npy"):format(folder, s.name)) == "file", ("its stage %s is not there"):format(s.name))
    local found = tostring(tensor_of(folder .. "/stages", s.name))
    want(found == s.type, ("its stage %s is %s; %s was recorded"):format(s.name, found, s.type))
  end
  return g
end

local function check()
  local folder = full(subject)
  local g = record_of(folder)
  local model = call.options.model or g.model
  local path, within = full(model), tonumber(call.options.within)
  if call.options.within and not (within and within >= 0) then return fail(2, "--within: want a share such as 1e-3, got \"%s\"", call.options.within) end
  if not call.exists(path) then return fail(3, "%s: is not there; --model says where the model is", model) end
  local number_format = call.options.type or not call.options.model and g.type or nil
  local function own(what) return call.options[what] or not call.options.model and g[what] or nil end
  local mmproj, kind, p = own "mmproj", nil, nil
  local how = { type = number_format, mmproj = mmproj and full(mmproj), unnorm_key = own "unnorm_key" or g.unnorm_key }
  local name = golden_seeing.find(path, how)
  local is_seeing = name ~= nil
  if not name then kind, name = module_of(path) end
  if name ~= g.kind then return fail(3, "%s: is a %s; the record is of a %s", model, name, g.kind) end
  if is_seeing then p = golden_seeing.check(path, how, g.sizes)
  else p = opened(path, kind, function() return with_type(g.sizes, number_format) end) end
  local types = types_of(p)
  for name, i in pairs(g.inputs) do
    if types[name] ~= i.type then return fail(3, "%s: its input %s is %s; %s was recorded", model, name, types[name] or "not there", i.type) end
  end
  for name, type in pairs(types) do
    if not g.inputs[name] then return fail(3, "%s: it has an input %s, %s, which was not recorded", model, name, type) end
  end
  local hash, files = hash_of(p)
  local worst = coarsest(path, number_format, files)
  local bound = within or math.max(BOUNDS[worst], BOUNDS[g.numerics.coarsest] or COARSEST)
  local to, made, bad, rows, stages = full(call.out) .. "/golden", {}, nil, { { "stage", "relL2", "max abs", "bound", "" } }, json.array {}
  for _, name in ipairs(replay(p, types, folder, to, g.instruction)) do made[name] = true end
  for i, s in ipairs(g.stages) do
    local got = made[s.name] and tensor_of(to, s.name)
    local why, off, most, most_off = nil, nil, nil, bound
    if s.type:find "^i" then most_off = (s.name == "ids" or worst == g.numerics.coarsest) and 0 or nil end -- a choice, told where formats differ
    if not got then why = "is not made any more"
    elseif tostring(got) ~= s.type then why = ("is %s now, was %s"):format(got, s.type)
    else
      off, most = got:off(tensor_of(folder .. "/stages", s.name))
      why = most_off and not (off <= most_off) and "is off" or nil
    end
    bad = bad or why and s.name
    rows[i + 1] = { s.name, off and ("%.3g"):format(off) or "", most and ("%.3g"):format(most) or "", most_off and ("%g"):format(most_off) or "", why or most_off and "pass" or off == 0 and "the same" or "others" }
    stages[i] = { name = s.name, rel_l2 = off, max_abs = most, bound = most_off, pass = not why }
  end
  if call.json then print(json.encode({ folder = subject, model = model, pass = not bad, first_bad = bad, stages = stages }, true))
  else
    if not call.quiet then for _, line in ipairs(pretty.columns(rows, "  ")) do print(line) end end
    local same = hash == g.sha256
    local what = ("%s, %s the file that was recorded, weights in %s against %s"):format(model, same and "" or "not", worst, g.numerics.coarsest):gsub("  +", " ")
    print(bad and ("%s: the first stage that is off is %s"):format(what, bad) or ("%s: all %d stages are within %g"):format(what, #g.stages, bound))
  end
  return bad and 1 or 0
end

local fine, code = pcall(call.file == "write" and write or check)
if not fine then return fail(2, "%s", (tostring(code):gsub("^[%w_%./-]*evla/[%w_]+%.lua:%d+: ", ""))) end
return code
