-- pack.lua: evla pack MODEL [--type q4_0] [-o FILE.evla] [--kv bf16]: graphs, tokenizer and weights in one file, the weights as
-- this machine's kernels read them, so that loading is mapping. With -o FILE.gguf: a GGUF file with its weights in another format.
local call = ...
local evla = require "evla"
local formats = require "evla.formats"

local function wrong(format, ...)
  io.stderr:write("evla: pack: " .. format:format(...) .. "\n")
  return 2
end

-- What else a folder says of its model, each file a list of one text.
local FILES = { "config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja" }
local function texts_of(folder)
  local out = {}
  for _, name in ipairs(FILES) do
    local file = call.exists(folder .. "/" .. name) and io.open(folder .. "/" .. name)
    if file then
      out[name] = { file:read "a" }
      file:close()
    end
  end
  return out
end

-- "matrices: 145 as q4_k; 24 as q5_0, since blk.0.attn_q.weight has rows of 960, no multiple of 256"
local function told(kind, counts)
  local out, names = {}, {}
  for name in pairs(counts) do names[#names + 1] = name end
  table.sort(names, function(a, b) return a == kind or b ~= kind and a < b end)
  for _, name in ipairs(names) do
    local c = counts[name]
    out[#out + 1] = ("%d as %s%s"):format(c.n, name, c.why and name ~= kind and ", since " .. c.why or "")
  end
  return "matrices: " .. table.concat(out, "; ")
end

for name in pairs(call.options) do
  if name ~= "o" and name ~= "kv" and name ~= "type" then
    return wrong("there is no --%s; evla pack MODEL --type q4_0 -o FILE.evla --kv bf16", name)
  end
end
if call.words[1] then return wrong("one model at a time, got also \"%s\"", call.words[1]) end
local function full(path) return path:sub(1, 1) == "/" and path or call.here .. "/" .. path end
local from, kind = full(call.file), call.options.type
if kind and not formats.file_type(kind) then
  return wrong("--type: want one of %s, got \"%s\"", table.concat(formats.kinds(), ", "), kind)
end
if from:find "%.evla$" then return wrong("%s is packed already; want the model that it was made from", call.file) end
local is_folder = call.exists(from) == "folder"
local to = full(call.options.o or call.file:gsub("/+$", ""):gsub("%.gguf$", "") .. ".evla")
local is_gguf = to:find "%.gguf$"
if not is_gguf and not to:find "%.evla$" then return wrong("-o: want a name that ends in .evla or .gguf, got \"%s\"", call.options.o) end
if is_gguf and is_folder then
  return wrong("%s is a folder, whose weights and tokenizer have other names in a GGUF file; want -o FILE.evla, or a GGUF file to start from", call.file)
end
if is_gguf and call.options.kv then return wrong("--kv: a GGUF file does not say how keys and values are kept; want -o FILE.evla with it") end
local m = evla.load(from, { kv = call.options.kv, context = 64, type = kind })
if not is_gguf then m:text() end -- plans, which settles how the weights lie, and lays them so
evla.pack(m.model, to, is_folder and texts_of(from) or
  kind and { ["general.file_type"] = formats.file_type(kind), ["general.quantization_version"] = 2 })
if not call.quiet then
  if m.formats then print(told(kind, m.formats)) end
  print(to)
end
return 0
