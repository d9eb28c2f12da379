-- new.lua: evla new plugin NAME [--kind op]: a copy of the template plugin under a name of its own, which builds as it is.
-- evla new weights MODEL [--type q4_0] [--seed 1] [-o FILE.gguf]: seeded weights of a known shape, see seeded.lua.
local call = ...
local evla = require "evla.core"

local function wrong(format, ...)
  io.stderr:write("evla: new: " .. format:format(...) .. "\n")
  return 2
end

if call.file == "weights" then
  local seeded = require "evla.seeded"
  for name in pairs(call.options) do
    if name ~= "type" and name ~= "seed" and name ~= "o" then
      return wrong("there is no --%s; evla new weights MODEL --type q4_0 --seed 1 -o FILE.gguf", name)
    end
  end
  local model, kind = call.words[1], call.options.type or "q8_0"
  if not model then return wrong("a model is missing; want one of %s", table.concat(seeded.names(), ", ")) end
  if call.words[2] then return wrong("one model at a time, got also \"%s\"", call.words[2]) end
  local seed = math.tointeger(tonumber(call.options.seed or 1))
  if not seed then return wrong("--seed: want a whole number, got \"%s\"", call.options.seed) end
  local path = call.options.o or ("%s-%s.gguf"):format(model, kind)
  if path:sub(1, 1) ~= "/" then path = call.here .. "/" .. path end
  local good, why = seeded.write(model, kind, seed, path)
  if not good then return wrong("%s", why) end
  if not call.quiet then print(path) end
  return 0
end

for name in pairs(call.options) do
  if name ~= "kind" then return wrong("there is no --%s; evla new plugin NAME --kind op", name) end
end
local kind = call.options.kind or "op"
local path = call.words[1]
if call.file ~= "plugin" then return wrong("want \"plugin\" or \"weights\", got \"%s\": evla new plugin NAME", call.file) end
if not path then return wrong("a name is missing: evla new plugin NAME") end
if call.words[2] then return wrong("one name at a time, got also \"%s\"", call.words[2]) end
if kind ~= "op" then
  return wrong("there is a template for an operator (--kind op), none for \"%s\"; docs/write-a-plugin.md tells how the others look", tostring(kind))
end

path = path:gsub("/+$", "")
local name = path:match("[^/]+$") or ""
if not name:find("^[a-z][a-z0-9_]*$") or #name > 40 then
  return wrong("\"%s\" is no name for a plugin: want lower-case letters, digits and _, a letter first, at most 40", name)
end
if name == "template" or name == "core" or name == "l2norm" then return wrong("\"%s\" is taken by the engine", name) end
for _, p in ipairs(evla.plugins()) do
  if p.id == "evla." .. name then return wrong("a plugin is called \"%s\" already: %s", name, p.path) end
  for _, it in ipairs(p.items) do
    if it.kind == kind and it.name == name then return wrong("%s brings an operator \"%s\" already", p.id, name) end
  end
end
if call.exists(path) then return wrong("%s exists already; choose another name, or remove it", path) end
local above = path:match("^(.*)/[^/]+$")
if above and above ~= "" and call.exists(above) ~= "folder" then return wrong("there is no folder %s", above) end

-- In the source tree, or as installed.
local root = call.scripts:match("^(.*)/[^/]+$")
local from = root .. "/plugins/template"
local headers = root .. "/core"
if call.exists(from) ~= "folder" then
  from, headers = root .. "/template", (root:match("^(.*)/share/evla$") or "/usr") .. "/include"
end
if call.exists(from) ~= "folder" then
  io.stderr:write(("evla: new: the template is not there: neither %s/plugins/template nor %s/template\n"):format(root, root))
  return 3
end

local full = path:sub(1, 1) == "/" and path or call.here .. "/" .. path
local files = call.names(from)
table.sort(files)
for _, file in ipairs(files) do
  local f <close> = assert(io.open(from .. "/" .. file, "rb"))
  local text = f:read("a"):gsub("`evla new plugin.-`l2norm`%. Then change", "Change"):gsub("[aA] plugin to copy: ", "")
    :gsub("A plugin to copy%. It", "A plugin that"):gsub("template", name):gsub("l2norm", name)
  evla.make_folder(full)
  evla.write_file(full .. "/" .. file:gsub("template", name), text)
end
if not call.quiet then
  local folder = path:find("^[%w_%./-]+$") and path or "'" .. path:gsub("'", "'\\''") .. "'"
  print(("%s is a plugin with one operator, %s. Build and load it:\n"):format(path, name))
  print(("  cd %s\n  cc -std=c11 -O2 -Wall -Wextra -ffp-contract=off -fPIC -shared -fvisibility=hidden -I'%s' %s.c -o %s.so -lm"):format(
    folder, headers, name, name))
  print(("  evla plugins %s --plugins ./%s.so"):format(name, name))
end
return 0
