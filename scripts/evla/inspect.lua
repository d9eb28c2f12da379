-- inspect.lua: evla inspect FILE: what a dataset or a model holds. What a file is follows from its content, not its name. A folder is what a
-- checkpoint in it is.
local call = ...
local bundle = require "evla.bundle"
local checkpoint = require "evla.checkpoint"
local evla = require "evla"
local json = require "evla.json"
local pretty = require "evla.pretty"
local path = call.file
local size_of_file
local READ_SECONDS, STATS_EPISODES, FRAMES = 4, 8, 8

local function bold(s) return call.colour and "\27[1m" .. s .. "\27[0m" or s end

-- A sentence without the line of ours that passed it on.
local function plain(why)
  return (tostring(why):gsub("^[%w_%./-]*evla/[%w_]+%.lua:%d+: ", ""):gsub("^(%w+: )%1", "%1"))
end

local function fail(code, why)
  io.stderr:write("evla: " .. plain(why) .. "\n")
  return code
end

local allowed = { strip = true, camera = true, episode = true, all = true, mask = true, unnorm_key = true, mmproj = true }
for name in pairs(call.options) do
  if not allowed[name] then
    local near = evla.near(name, { "strip", "camera", "episode", "all", "mask", "unnorm_key", "mmproj" })
    return fail(2, ("inspect has no --%s%s"):format(name, near and ("; did you mean --%s?"):format(near)
      or "; it has --strip FILE.png, --camera NAME, --episode N, --mask NAME, --all, and of checkpoints --unnorm_key NAME, --mmproj FILE"))
  end
end
if call.words[1] then return fail(2, ("inspect looks at one file at a time, got also \"%s\""):format(call.words[1])) end

local function heading(text) print("\n" .. bold(text)) end
local function rows_out(rows) for _, line in ipairs(pretty.columns(rows, "  ")) do print(line) end end

-- ---- datasets ----

local function has_image_type(type) return type:find("^u8%[[^,]+,[^,]+,[^,]+,3%]$") ~= nil end

local function length_of(rec)
  local t = rec.actions
  if t == nil then
    for _, name in ipairs(rec.names) do if not name:find("^cameras/") then t = rec[name] break end end
  end
  return t and t.shape[1] or 0
end

-- Episodes in an order whose every beginning is spread over the whole set.
local function spread(n)
  local out, step = {}, math.max(1, n // 16)
  for from = 1, step do for i = from, n, step do out[#out + 1] = i end end
  return out
end

local function survey(set)
  local s = { read = 0, lengths = {}, goals = {}, stats = {}, order = {}, has_success = false, success = 0 }
  local from = os.clock()
  for k, i in ipairs(spread(#set)) do
    if k > STATS_EPISODES and not call.options.all and os.clock() - from > READ_SECONDS then break end
    local rec = set:record(i)
    local a = rec.attrs
    s.read = k
    s.lengths[k] = length_of(rec)
    local goal = a.goal or a.instruction or a.language_instruction or "(no goal told)"
    local g = s.goals[goal] or { goal = tostring(goal), episodes = 0, success = 0 }
    s.goals[goal] = g
    g.episodes = g.episodes + 1
    if a.success ~= nil then
      s.has_success = true
      if a.success ~= 0 and a.success ~= false then g.success, s.success = g.success + 1, s.success + 1 end
    end
    if k <= STATS_EPISODES then
      for _, name in ipairs(rec.names) do
        local st, all = rec[name]:stats(), s.stats[name]
        if not all then
          all = { n = 0, finite = 0, sum = 0 }
          s.stats[name] = all
        end
        all.n, all.finite = all.n + st.n, all.finite + st.finite
        if st.finite > 0 then
          all.sum = all.sum + st.mean * st.finite
          all.min = math.min(all.min or st.min, st.min)
          all.max = math.max(all.max or st.max, st.max)
        end
      end
    end
    rec = nil
    if k % 16 == 0 then collectgarbage() end
  end
  table.sort(s.lengths)
  return s
end

local function masks_of()
  local out = {}
  for _, name in ipairs { "train", "valid", "success" } do
    local fine, set = pcall(function() return evla.records(evla.stage.hdf5 { path = path, mask = name }) end)
    if fine then out[#out + 1] = { name = name, episodes = #set } end
  end
  return out
end

-- The film strip of one episode; returns its path, or nil and why there is none.
local function strip(set)
  local camera
  for _, f in ipairs(set.fields) do
    if has_image_type(f.type) and (not call.options.camera or f.name == call.options.camera
      or f.name == "cameras/" .. tostring(call.options.camera) .. "/rgb") then camera = f break end
  end
  if not camera then
    return nil, call.options.camera and ("no field \"%s\" holds pictures"):format(call.options.camera) or "it holds no pictures"
  end
  local i = math.tointeger(tonumber(call.options.episode or 1))
  if not i or i < 1 or i > #set then return nil, ("--episode: want 1 to %d"):format(#set) end
  local to = call.options.strip
  if type(to) ~= "string" then to = path:gsub("%.[^./]*$", "") .. ".png" end
  local rec = set:record(i)
  local frames, picks, captions = rec[camera.name], {}, {}
  local n = frames.shape[1]
  if n == 0 then return nil, "its episode holds no frame" end
  for k = 1, math.min(FRAMES, n) do
    local at = n <= FRAMES and k or 1 + math.floor((k - 1) * (n - 1) / (FRAMES - 1) + 0.5)
    picks[k] = at
    captions[k] = camera.rate > 0 and ("%.1f s"):format((at - 1) / camera.rate) or ("frame %d"):format(at)
  end
  local fine, why = pcall(evla.image.strip, { frames = frames, path = to, picks = picks, captions = captions,
    columns = #picks, scale = frames.shape[2] < 64 and 4 or 1, title = rec.attrs.instruction or rec.attrs.goal })
  if not fine then return nil, why end
  return to, camera.name
end

local function dataset()
  local stage = { path = path }
  if call.options.mask then stage.mask = call.options.mask end
  local set = evla.records(evla.stage.hdf5(stage))
  local s = survey(set)
  local masks = call.options.mask and {} or masks_of()
  local lengths, rate = s.lengths, 0
  for _, f in ipairs(set.fields) do if f.name == "actions" then rate = f.rate end end
  local fields, goals = {}, {}
  for _, f in ipairs(set.fields) do
    local st = s.stats[f.name] or { n = 0, finite = 0 }
    fields[#fields + 1] = { name = f.name, type = f.type, unit = f.unit, rate = f.rate, doc = f.doc, min = st.min, max = st.max,
      mean = st.finite > 0 and st.sum / st.finite or nil, not_finite = st.n - st.finite }
  end
  for _, g in pairs(s.goals) do goals[#goals + 1] = g end
  table.sort(goals, function(a, b) return a.goal < b.goal end)
  local picture, why
  if #set > 0 then picture, why = strip(set) end
  if not picture and (call.options.strip or call.options.camera or call.options.episode) then
    return fail(why:find("^%-%-") and 2 or 3, ("%s: no film strip: %s"):format(path, plain(why)))
  end
  local middle = lengths[(#lengths + 1) // 2]
  if call.json then
    print(json.encode({ file = path, kind = "episodes", episodes = #set, read = s.read, rate_hz = rate,
      ticks = { min = lengths[1], median = middle, max = lengths[#lengths] }, success = s.has_success and s.success or nil,
      goals = json.array(goals), masks = json.array(masks), fields = json.array(fields), strip = picture, attrs = set.attrs }, true))
    return 0
  end
  local over = s.read < #set and (", looked at %d of them (--all looks at all)"):format(s.read) or ""
  print(("%s: %d episode%s%s"):format(bold(path), #set, #set == 1 and "" or "s", over))
  if #lengths > 0 then
    local function ticks(n) return rate > 0 and ("%d (%.1f s)"):format(n, n / rate) or tostring(n) end
    rows_out { { "ticks", ("%s to %s, median %s"):format(ticks(lengths[1]), ticks(lengths[#lengths]), ticks(middle)) } }
  end
  if s.has_success then rows_out { { "success", ("%d of %d"):format(s.success, s.read) } } end
  for _, m in ipairs(masks) do rows_out { { "mask/" .. m.name, ("%d episodes"):format(m.episodes) } } end
  if #goals > 1 or goals[1] and goals[1].goal ~= "(no goal told)" then
    heading("goals")
    local rows, shown = {}, math.min(#goals, 24)
    for i = 1, shown do
      local g = goals[i]
      rows[i] = { g.goal, ("%d episode%s"):format(g.episodes, g.episodes == 1 and "" or "s"), s.has_success and ("%d succeeded"):format(g.success) or "" }
    end
    rows_out(rows)
    if shown < #goals then print(("  ... and %d more"):format(#goals - shown)) end
  end
  heading(("fields (range over %d episode%s)"):format(math.min(s.read, STATS_EPISODES), s.read == 1 and "" or "s"))
  local rows = { { "name", "type", "unit", "Hz", "min", "mean", "max", "" } }
  for _, f in ipairs(fields) do
    local function number(v) return v and ("%.4g"):format(v) or "" end
    rows[#rows + 1] = { f.name, f.type, f.unit, f.rate > 0 and ("%g"):format(f.rate) or "", number(f.min), number(f.mean), number(f.max),
      f.not_finite > 0 and ("%d not finite"):format(f.not_finite) or "" }
  end
  rows_out(rows)
  if picture then print(("\nfilm strip of %s: %s"):format(why, picture))
  elseif why then print("\nno film strip: " .. plain(why)) end
  return 0
end

-- ---- models and other bundles ----

local function other_bundle(head)
  local version, _, n_head, n_file = ("<I4I4I8I8"):unpack(head, 9)
  local f <close> = assert(io.open(path, "rb"))
  local size = f:seek("end")
  if version ~= 1 then return fail(3, ("%s: its version is %d, this engine knows 1"):format(path, version)) end
  if n_head > size - 32 or n_file ~= size then
    return fail(3, ("%s: it is cut off or damaged: it tells %d bytes, there are %d"):format(path, n_file, size))
  end
  f:seek("set", 32)
  local told = json.decode(f:read(n_head))
  local parts = json.array {}
  for _, p in ipairs(told.parts) do parts[#parts + 1] = { name = p[1], type = p[2] } end
  if call.json then
    print(json.encode({ file = path, kind = told.kind, bytes = size, tensors = parts }, true))
    return 0
  end
  print(("%s: %s, %d tensors, %s"):format(bold(path), told.kind, #parts, pretty.bytes(size)))
  local rows = {}
  for _, p in ipairs(parts) do rows[#rows + 1] = { p.name, p.type } end
  rows_out(rows)
  return 0
end

local function model()
  local m, attrs = call.model(path), evla.attributes(path)
  local packed = bundle.read(path, attrs)
  local bytes = 0
  for _, w in ipairs(m.weights) do bytes = bytes + w.bytes end
  if call.json then
    for _, list in ipairs { m.graphs, m.weights, m.states } do json.array(list) end
    for _, g in ipairs(m.graphs) do json.array(g.inputs) json.array(g.outputs) json.array(g.ops) end
    m.file, m.kind, m.weight_bytes, m.bundle = path, "model", bytes, packed
    print(json.encode(m, true))
    return 0
  end
  print(("%s: model %s, %d graph%s, %d weights in %s"):format(bold(path), m.name, #m.graphs, #m.graphs == 1 and "" or "s",
    #m.weights, pretty.bytes(bytes)))
  if packed then
    heading(("bundle of %s, made by %s; evla.%s reads it"):format(packed.kind, packed.made_by, packed.opens))
    local rows, sizes = bundle.rows(packed.items, attrs), bundle.measured(packed.options)
    if packed.graphs == "kept" then rows[#rows + 1] = { "graphs", ("a recipe's, of calls as they were measured: %s; another size takes another recipe"):format(sizes) } end
    rows_out(rows)
  end
  for _, g in ipairs(m.graphs) do
    heading("graph " .. g.name)
    local counts, rows, ops = {}, {}, {}
    for _, op in ipairs(g.ops) do counts[op] = (counts[op] or 0) + 1 end
    for op, n in pairs(counts) do ops[#ops + 1] = n > 1 and ("%d %s"):format(n, op) or op end
    table.sort(ops, function(a, b) return a:match("%a.*") < b:match("%a.*") end)
    for _, i in ipairs(g.inputs) do rows[#rows + 1] = { "input", i.name, i.type } end
    for _, o in ipairs(g.outputs) do rows[#rows + 1] = { "output", o } end
    rows[#rows + 1] = { "nodes", ("%d: %s"):format(#g.ops, table.concat(ops, ", ")) }
    rows_out(rows)
  end
  if #m.weights > 0 then
    heading("weights")
    local rows, shown = {}, call.options.all and #m.weights or math.min(#m.weights, 40)
    for i = 1, shown do
      local w = m.weights[i]
      rows[i] = { w.name, w.type or "", pretty.bytes(w.bytes) }
    end
    rows_out(rows)
    if shown < #m.weights then print(("  ... and %d more (--all lists them)"):format(#m.weights - shown)) end
  end
  if #m.states > 0 then
    heading("states")
    local rows = {}
    for i, s in ipairs(m.states) do rows[i] = { s.name, s.type } end
    rows_out(rows)
  end
  print(("\nevla show %s draws it, evla ops %s lists its kernels."):format(path, path))
  return 0
end

-- ---- model files of other tools ----

-- A text of metadata on one line.
local function one_line(s)
  s = s:gsub("[%c]+", " ")
  local cut = utf8.offset(s, 101) -- nil: at most 100 characters, or no UTF-8
  return cut and #s >= cut and s:sub(1, cut - 1) .. " ..." or s
end

-- The first entries of a list of metadata, as many as asked for.
local function first_of(list, most)
  local out = json.array {}
  for i = 1, math.min(#list, most) do out[i] = list[i] end
  return out
end

-- A value of metadata on one line: a list as its length and what it begins with.
local function value_text(v)
  if type(v) ~= "userdata" then return type(v) == "number" and pretty.number(v) or one_line(v) end
  local shown = first_of(v, 6)
  for i, x in ipairs(shown) do shown[i] = type(x) == "string" and pretty.quote(one_line(x)) or pretty.number(x) end
  return ("%s: %s%s"):format(v, table.concat(shown, ", "), #v > #shown and ", ..." or "")
end

-- The same for JSON, which holds no text that is not UTF-8.
local function value_json(v)
  if type(v) ~= "userdata" then return v end
  local first = first_of(v, call.options.all and #v or 8)
  for i, x in ipairs(first) do
    if type(x) == "string" and not utf8.len(x) then first[i] = x:gsub("[\128-\255]", utf8.char(0xfffd)) end
  end
  return { type = tostring(v), n = #v, first = first }
end

-- { { "q4_k", tensors, bytes }, ... }, the largest share first
local function shares(list)
  local by_name, out = {}, {}
  for _, t in ipairs(list) do
    local name = t.type:match("^[^%[]*")
    local one = by_name[name] or { name = name, tensors = 0, bytes = 0 }
    if not by_name[name] then out[#out + 1] = one end
    by_name[name] = one
    one.tensors, one.bytes = one.tensors + 1, one.bytes + t.bytes
  end
  table.sort(out, function(x, y) return x.bytes > y.bytes or x.bytes == y.bytes and x.name < y.name end)
  return out
end

-- What a checkpoint says of itself: its architecture, sizes, and what a bundle of it would say and lack. why: what is wrong with it.
local function told(about, why)
  if not about then
    if why then
      heading "as a checkpoint"
      rows_out { { "is not whole", plain(why) } }
    end
    return
  end
  heading(("%s, which %s reads"):format(about.architecture, about.reads))
  local parts, line = {}, ""
  for _, s in ipairs(checkpoint.sizes(about.sizes)) do
    local part = s.name .. " " .. (type(s.value) == "number" and pretty.number(s.value) or s.value == true and "yes" or one_line(s.value))
    if #line + #part > 100 then parts[#parts + 1], line = line .. ",", "" end
    line = line == "" and part or line .. ", " .. part
  end
  parts[#parts + 1] = line
  for i, text in ipairs(parts) do parts[i] = { i == 1 and "sizes" or "", text } end
  rows_out(parts)
  if not about.items then return end
  heading "as a bundle"
  local rows = bundle.rows(about.items, about.attrs)
  for _, row in ipairs(rows) do row[2] = about.lacks[row[1]] or row[2] end
  rows_out(rows)
end

-- The same for programs.
local function told_json(about, why)
  if not about then return why and { why = plain(why) } or nil end
  local sizes, lacks = {}, json.array {}
  for _, s in ipairs(checkpoint.sizes(about.sizes)) do sizes[s.name] = s.value end
  for i, l in ipairs(about.items and bundle.lacks(about.items) or {}) do lacks[i] = { name = l.name, why = about.lacks[l.name] or l.why } end
  return { architecture = about.architecture, reads = about.reads, sizes = sizes, items = about.items, lacks = about.items and lacks or nil }
end

-- Whose weights they are, and why that is not known of a checkpoint that is not whole.
local function about_it(is_folder)
  local given, folder = { unnorm_key = call.options.unnorm_key, mmproj = call.options.mmproj }, path:match "^(.*)/model%.safetensors$"
  if given.mmproj and given.mmproj:sub(1, 1) ~= "/" then given.mmproj = call.here .. "/" .. given.mmproj end
  return checkpoint.about(folder or path, is_folder or folder ~= nil, given)
end

local function archive()
  local is_folder = call.exists(path) == "folder"
  local a = evla.tensors(is_folder and checkpoint.weights(path) or path)
  local about, broken = about_it(is_folder)
  local attrs = a.attrs
  local list, numbers, bytes, unread, from = json.array {}, 0, 0, 0, os.clock()
  for i, name in ipairs(a.names) do
    local t, n = a[name], 1
    for _, extent in ipairs(t.shape) do n = n * extent end
    numbers = numbers + n
    bytes = bytes + t.bytes
    list[i] = { name = name, type = tostring(t), n = n, bytes = t.bytes }
    if call.options.all or os.clock() - from < READ_SECONDS then
      local st = t:stats()
      list[i].min, list[i].mean, list[i].max, list[i].not_finite = st.min, st.mean, st.max, st.n - st.finite
    else
      unread = unread + 1
    end
  end
  if call.json then
    for key, v in pairs(attrs) do attrs[key] = value_json(v) end
    print(json.encode({ file = path, kind = "weights", format = a.format, bytes = size_of_file, parameters = numbers,
      tensor_bytes = bytes, tensors = list, attrs = attrs, checkpoint = told_json(about, broken) }, true))
    return 0
  end
  local architecture = attrs["general.architecture"]
  print(("%s: %s%s, %d tensor%s, %d numbers, %s"):format(bold(path), a.format,
    architecture and ", " .. one_line(tostring(architecture)) or "", #list, #list == 1 and "" or "s", numbers,
    pretty.bytes(math.max(size_of_file, bytes)))) -- this file may be the first of several
  local formats = shares(list)
  if #formats > 1 or is_folder then
    local rows = {}
    for i, f in ipairs(formats) do rows[i] = { f.name, ("%d tensor%s"):format(f.tensors, f.tensors == 1 and "" or "s"), pretty.bytes(f.bytes) } end
    rows_out(rows)
  end
  local keys = {}
  for key in pairs(attrs) do keys[#keys + 1] = key end
  table.sort(keys)
  if #keys > 0 then
    heading("metadata")
    local rows = {}
    for i, key in ipairs(keys) do rows[i] = { key, value_text(attrs[key]) } end
    rows_out(rows)
  end
  told(about, broken)
  if #list == 0 then return 0 end
  heading("tensors" .. (unread > 0 and (" (the range of %d was not read, --all reads all)"):format(unread) or ""))
  local rows, shown = { { "name", "type", "bytes", "min", "mean", "max", "" } }, call.options.all and #list or math.min(#list, 400)
  for i = 1, shown do
    local t = list[i]
    local function number(v) return v and ("%.4g"):format(v) or "" end
    rows[#rows + 1] = { t.name, t.type, pretty.bytes(t.bytes), number(t.min), number(t.mean), number(t.max),
      (t.not_finite or 0) > 0 and ("%d not finite"):format(t.not_finite) or "" }
  end
  rows_out(rows)
  if shown < #list then print(("  ... and %d more (--all lists them)"):format(#list - shown)) end
  return 0
end

-- ---- what is it? ----

local found = call.exists(path)
if not found then return fail(3, ("%s: there is no such file"):format(path)) end
if found == "folder" then
  if not checkpoint.weights(path) then
    return fail(3, ("%s: it is a folder without a checkpoint; want one with model.safetensors or model.safetensors.index.json in it, or a file"):format(path))
  end
  size_of_file = 0
  local fine, code = pcall(archive)
  return fine and code or fail(3, code)
end
if found ~= "file" then return fail(3, ("%s: want a file, found a %s"):format(path, found == "other" and "device" or found)) end
local f, why = io.open(path, "rb")
if not f then return fail(3, why) end
local size, head = f:seek("end"), nil
f:seek("set", 0)
head = f:read(32) or ""
local look
if head:sub(1, 8) == "evla\r\n\26\n" then
  if #head < 32 then return fail(3, path .. ": it is cut off within its first 32 bytes") end
  f:seek("set", 32)
  local told = f:read(math.min(size - 32, 1 << 20)) or ""
  look = told:find('"kind":"evla.model"', 1, true) and model or function() return other_bundle(head) end
else
  -- a dataset's signature stands at 0, 512, 1024, ...
  local at = 0
  repeat
    f:seek("set", at)
    if f:read(8) == "\137HDF\r\n\26\n" then look = dataset break end
    at = at == 0 and 512 or at * 2
  until at > size
end
f:close()
size_of_file = size
if not look then
  local fine, found = pcall(evla.tensors, path)
  if not fine then -- the sentence starts with the whole path
    found = plain(found)
    if found:sub(1, #call.here + 1) == call.here .. "/" then found = found:sub(#call.here + 2) end
    return fail(3, found)
  end
  if found then look = archive end
end
if not look then
  local kind = head:find("^\137PNG") and "a PNG picture" or head:find("^PK\3\4") and "a zip archive" or head:find("^GGUF") and "a GGUF model"
    or head:find("^%s*[{%[]") and "JSON" or size == 0 and "empty" or head:find("^[%g%s]*$") and "text" or "neither"
  local formats = {}
  for _, p in ipairs(evla.plugins()) do
    for _, it in ipairs(p.items) do if it.kind == "format" then formats[#formats + 1] = it.name end end
  end
  return fail(3, ("%s: %s; inspect knows datasets (.hdf5)%s models (.evla)%s"):format(path,
    kind == "neither" and "it is of no kind that evla knows" or "it is " .. kind, #formats > 0 and "," or " and",
    #formats > 0 and " and weights in " .. table.concat(formats, ", ") or ""))
end
if look == dataset and not rawget(evla.stage, "hdf5") then
  return fail(3, path .. ": it is a dataset, and the plugin that reads it is not built; evla doctor says what brings it")
end
local fine, code = pcall(look)
if not fine then return fail(3, code) end
return code
