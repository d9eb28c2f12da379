-- abi.lua -- the public headers as LuaJIT sees them, beside the C compiler's view.
--
--   luajit tests/abi.lua program HEADERS          prints a C program that prints every size, offset, constant
--   luajit tests/abi.lua compare HEADERS LAYOUT   compares that program's output (stdin) with LuaJIT: TAP
--   luajit tests/abi.lua update HEADERS LAYOUT    writes LAYOUT from stdin, unless a frozen kind changed
--
-- Fields come from the headers' text, so none can be forgotten: what LuaJIT and C print must tile each
-- struct without a gap.
local ffi = require "ffi"
local verb, folder, layout = arg[1], arg[2], arg[3]

local function read(path)
  local f = assert(io.open(path))
  local text = f:read "*a"
  f:close()
  return text
end

local function strip(text)
  return (text:gsub("/%*.-%*/", " "):gsub("//[^\n]*", ""))
end

-- What is left when every line that starts with '#' is deleted.
local function cdef(text)
  return (("\n" .. text):gsub("\n#[^\n]*", "\n"))
end

local names = { "abi.h", "ops.h", "evla.h" }
local headers, raw = {}, {}
for _, name in ipairs(names) do
  local f = io.open(folder .. "/" .. name)
  if f then
    f:close()
    raw[#raw + 1] = read(folder .. "/" .. name)
    headers[#headers + 1] = { name = name, text = strip(cdef(raw[#raw])) }
  end
end

-- Structs in order of appearance: { name, fields = {..}, body }; constants; kinds by #define.
local structs, by_name, constants, kinds = {}, {}, {}, {}
local function fields_of(body)
  local list = {}
  for decl in body:gmatch "([^;]+);" do
    local pointer = decl:match "%(%s*%*%s*([%w_]+)%s*%)"
    if pointer then
      list[#list + 1] = pointer
    else
      for part in decl:gsub("%b[]", ""):gmatch "[^,]+" do
        list[#list + 1] = part:match "([%w_]+)%s*$"
      end
    end
  end
  return list
end
for _, h in ipairs(headers) do
  for head, body in h.text:gmatch "struct%s+([%w_]+)%s*(%b{})" do
    local s = { name = head, body = body:sub(2, -2) }
    s.fields = fields_of(s.body)
    structs[#structs + 1], by_name[head] = s, s
  end
  for body in h.text:gmatch "enum%s*[%w_]*%s*(%b{})" do
    for name in body:sub(2, -2):gmatch "([%a_][%w_]*)%s*=" do constants[#constants + 1] = name end
  end
end
for _, text in ipairs(raw) do
  for kind in text:gmatch '#define%s+EVLA_[%w_]+%s+"(evla%.[%w_]+/%d+)"' do kinds[#kinds + 1] = kind end
end

local function program()
  print "#include <stddef.h>\n#include <stdio.h>"
  for _, h in ipairs(headers) do print(('#include "evla/%s"'):format(h.name)) end
  print "int main(void)\n{"
  print '    printf("abi %d.%d\\n", EVLA_ABI_MAJOR, EVLA_ABI_MINOR);'
  for _, kind in ipairs(kinds) do print(('    puts("kind %s");'):format(kind)) end
  for _, s in ipairs(structs) do
    print(('    printf("struct %s %%zu\\n", sizeof(%s));'):format(s.name, s.name))
    for _, f in ipairs(s.fields) do
      print(('    printf("  %s.%s %%zu %%zu\\n", offsetof(%s, %s), sizeof(((%s *)0)->%s));')
        :format(s.name, f, s.name, f, s.name, f))
    end
  end
  for _, c in ipairs(constants) do
    print(('    printf("const %s %%lld\\n", (long long)%s);'):format(c, c))
  end
  print "    return 0;\n}"
end

local n, failed = 0, 0
local function ok(claim, title)
  n = n + 1
  if not claim then failed = failed + 1 end
  print((claim and "ok %d - %s" or "not ok %d - %s"):format(n, title))
end

local function compare()
  local said, lines = {}, {}
  for line in io.lines() do
    lines[#lines + 1] = line
    local key, rest = line:match "^%s*(%a+ [%w_]+) (.*)$"
    if not key then key, rest = line:match "^%s*([%w_.]+) (.*)$" end
    said[key] = rest
  end
  for _, h in ipairs(headers) do
    local good, why = pcall(ffi.cdef, cdef(read(folder .. "/" .. h.name)))
    ok(good, "ffi.cdef reads " .. h.name .. (good and "" or ": " .. tostring(why)))
    if not good then return end
  end
  local wrong, gaps, n_fields = {}, {}, 0
  for _, s in ipairs(structs) do
    local size, at = ffi.sizeof(s.name), 0
    if said["struct " .. s.name] ~= tostring(size) then wrong[#wrong + 1] = s.name end
    for _, f in ipairs(s.fields) do
      n_fields = n_fields + 1
      local offset, bytes = (said[s.name .. "." .. f] or "x x"):match "(%S+) (%S+)"
      if tonumber(offset) ~= ffi.offsetof(s.name, f) then wrong[#wrong + 1] = s.name .. "." .. f end
      if tonumber(offset) ~= at then gaps[#gaps + 1] = s.name .. "." .. f end
      at = (tonumber(offset) or 0) + (tonumber(bytes) or 0)
    end
    if at ~= size then gaps[#gaps + 1] = s.name .. "'s end" end
  end
  ok(#structs > 20 and n_fields > 150, ("%d structs with %d fields were found"):format(#structs, n_fields))
  ok(#wrong == 0, "LuaJIT and C agree on every size and offset " .. table.concat(wrong, " "))
  ok(#gaps == 0, "fields follow each other without padding " .. table.concat(gaps, " "))
  wrong = {}
  for _, c in ipairs(constants) do
    if tonumber(said["const " .. c]) ~= tonumber(ffi.C[c]) then wrong[#wrong + 1] = c end
  end
  ok(#constants > 60 and #wrong == 0, ("%d constants are the same "):format(#constants) .. table.concat(wrong, " "))
  local f = layout and io.open(layout)
  local recorded = f and f:read "*a" or ""
  if f then f:close() end
  ok(recorded == table.concat(lines, "\n") .. "\n",
    "the layout is the recorded one (after a wanted change: make abi-layout)")
  if recorded ~= table.concat(lines, "\n") .. "\n" then
    local was, is = {}, {}
    for line in recorded:gmatch "[^\n]+" do was[line] = true end
    for _, line in ipairs(lines) do
      is[line] = true
      if not was[line] then print("# now  " .. line) end
    end
    for line in recorded:gmatch "[^\n]+" do
      if not is[line] then print("# was  " .. line) end
    end
  end
  print("1.." .. n)
  os.exit(failed == 0 and 0 or 1)
end

-- The structs that a frozen kind's table can reach.
local function reach(name, seen)
  if seen[name] or not by_name[name] then return seen end
  seen[name] = true
  for word in by_name[name].body:gmatch "evla_[%w_]+" do reach(word, seen) end
  return seen
end

local function sections(text)
  local out, name = {}, nil
  for line in text:gmatch "[^\n]+" do
    local s = line:match "^struct ([%w_]+)"
    if s then
      name = s
      out[name] = {}
    elseif line:match "^  " and name then
      table.insert(out[name], line)
    end
  end
  return out
end

local function update()
  local now = io.read "*a"
  local f = io.open(layout)
  local before = f and f:read "*a" or ""
  if f then f:close() end
  local frozen = {}
  for kind in before:gmatch "kind (evla%.[%w_]+/[1-9]%d*)" do
    if not now:find("kind " .. kind, 1, true) then
      io.stderr:write(("abi: %s is frozen and may not go away\n"):format(kind))
      os.exit(1)
    end
    local short = kind:match "%.([%w_]+)/"
    for name in pairs(reach("evla_" .. short, {})) do frozen[name] = kind end
  end
  local old, new = sections(before), sections(now)
  for name, kind in pairs(frozen) do
    for i, line in ipairs(old[name] or {}) do
      if not new[name] or new[name][i] ~= line then
        io.stderr:write(("abi: %s is frozen: %s had \"%s\", now \"%s\"; add fields at the end only, or start %s\n")
          :format(kind, name, line:match "%S.*", (new[name] and new[name][i] or "nothing"):match "%S.*",
            (kind:gsub("%d+$", function(d) return d + 1 end))))
        os.exit(1)
      end
    end
  end
  for name, value in before:gmatch "const (EVLA_[%w_]+) (%-?%d+)" do
    local is = now:match("\nconst " .. name .. " (%-?%d+)\n")
    if name:match "^EVLA_E_" and is ~= value then
      io.stderr:write(("abi: %s was %s, now %s; statuses are never renumbered\n"):format(name, value, tostring(is)))
      os.exit(1)
    end
  end
  f = assert(io.open(layout, "w"))
  f:write(now)
  f:close()
end

if verb == "program" then program() elseif verb == "compare" then compare() else update() end
