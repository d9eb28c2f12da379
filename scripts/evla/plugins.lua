-- plugins.lua: evla plugins [NAME]: what is loaded, item by item; with a name, every parameter of its items.
local call = ...
local evla = require "evla.core"
local json = require "evla.json"
local pretty = require "evla.pretty"

local function bold(s) return call.colour and "\27[1m" .. s .. "\27[0m" or s end

for name in pairs(call.options) do
  io.stderr:write(("evla: plugins has no --%s; evla plugins --help shows what it has\n"):format(name))
  return 2
end

local list = evla.plugins()
for _, p in ipairs(list) do
  p.short = p.id:gsub("^evla%.", "")
  table.sort(p.items, function(a, b) return a.kind .. "/" .. a.name < b.kind .. "/" .. b.name end)
end

-- The plugin or item of a name: "hdf5", "evla.hdf5", "stage.hdf5", "evla.stage.hdf5".
local function find(name)
  local short = name:gsub("^evla%.", "")
  local out, names = {}, {}
  for _, p in ipairs(list) do
    if p.short == short then return { p } end
    names[#names + 1] = p.short
    for _, it in ipairs(p.items) do
      if it.kind .. "." .. it.name == short or it.name == short and it.doc then
        out[#out + 1] = { id = p.id, short = p.short, version = p.version, license = p.license, path = p.path, items = { it } }
      end
      if it.doc then names[#names + 1] = it.kind .. "." .. it.name end
    end
  end
  return out, names
end

if call.file then
  local found, names = find(call.file)
  if #found == 0 then
    local near = evla.near(call.file, names)
    io.stderr:write(("evla: no loaded plugin or item is called \"%s\"%s; evla plugins lists what is there\n"):format(
      call.file, near and ("; did you mean \"%s\"?"):format(near) or ""))
    return 2
  end
  list = found
end

if call.json then
  for _, p in ipairs(list) do
    p.short = nil
    json.array(p.items)
    for _, it in ipairs(p.items) do json.array(it.params) end
  end
  print(json.encode(json.array(list), true))
  return 0
end

-- Parameters, indented below their item.
local function params(list_of, indent)
  local lines = {}
  for _, p in ipairs(list_of) do
    lines[#lines + 1] = ("%s%s: %s"):format(indent, p.name, p.doc)
    lines[#lines + 1] = ("%s    %s%s"):format(indent, p.type,
      p.default and "; default " .. p.default or p.required and "; required" or "; optional")
    if p.fields then lines[#lines + 1] = params(p.fields, indent .. "    ") end
  end
  return table.concat(lines, "\n")
end

for i, p in ipairs(list) do
  if i > 1 then print() end
  print(("%s  %s  %s"):format(bold(p.short), p.version, p.license))
  local rows, kernels = {}, 0
  for _, it in ipairs(p.items) do
    if it.kind == "kernel" then kernels = kernels + 1
    elseif not call.file then rows[#rows + 1] = { it.kind .. "." .. it.name, it.doc or "" } end
  end
  if call.file then
    if p.path then print("  " .. p.path) end
    for _, it in ipairs(p.items) do
      if it.kind ~= "kernel" then
        print(("\n  %s: %s"):format(bold("evla." .. it.kind .. "." .. it.name), it.doc or ""))
        if #it.params > 0 then print(params(it.params, "    ")) end
      end
    end
  end
  if kernels > 0 then rows[#rows + 1] = { ("%d kernel%s"):format(kernels, kernels == 1 and "" or "s"), "" } end
  for _, line in ipairs(pretty.columns(rows, "  ")) do print(line) end
end
return 0
