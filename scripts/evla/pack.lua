-- pack.lua: evla pack FILE.gguf [-o FILE.evla] [--kv bf16]: graphs, tokenizer and weights in one file, the weights as this
-- machine's kernels read them, so that loading is mapping.
local call = ...
local evla = require "evla"

local function wrong(format, ...)
  io.stderr:write("evla: pack: " .. format:format(...) .. "\n")
  return 2
end

for name in pairs(call.options) do
  if name ~= "o" and name ~= "kv" then return wrong("there is no --%s; evla pack FILE.gguf -o FILE.evla --kv bf16", name) end
end
if call.words[1] then return wrong("one model at a time, got also \"%s\"", call.words[1]) end
local function full(path) return path:sub(1, 1) == "/" and path or call.here .. "/" .. path end
local from = full(call.file)
if call.exists(from) == "folder" then
  return wrong("%s is a folder; its tokenizer is a file of its own, which cannot be packed yet: load the folder as it is", call.file)
end
local to = full(call.options.o or call.file:gsub("%.gguf$", "") .. ".evla")
if not to:find "%.evla$" then return wrong("-o: want a name that ends in .evla, got \"%s\"", call.options.o) end
local m = evla.load(from, { kv = call.options.kv, context = 64 })
m:text() -- plans, which settles how the weights lie, and lays them so
evla.pack(m.model, to)
if not call.quiet then print(to) end
return 0
