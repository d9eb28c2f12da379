-- abi_ffi.lua BUILD -- LuaJIT in the place of C: reads a plugin's table, then runs operators through
-- libevla.so with nothing but the public headers. TAP.
local ffi = require "ffi"
local build = arg[1]
local n, failed = 0, 0
local function ok(claim, title)
  n = n + 1
  if not claim then failed = failed + 1 end
  print((claim and "ok %d - %s" or "not ok %d - %s"):format(n, title))
end

for _, name in ipairs { "abi.h", "ops.h", "evla.h" } do
  local f = assert(io.open("core/evla/" .. name))
  ffi.cdef((("\n" .. f:read "*a"):gsub("\n#[^\n]*", "\n")))
  f:close()
end
local C = ffi.C

local ops = ffi.load(build .. "/plugins/ops.so")
local p = ops.evla_plugin_entry()
ok(p.magic == C.EVLA_MAGIC and p.size == ffi.sizeof "evla_plugin", "a plugin's table starts as abi.h says")
ok(ffi.string(p.id) == "evla.ops", "its name is read through the struct")
local seen, slots = {}, true
for i = 0, p.n_items - 1 do
  local it = p.items[i]
  seen[ffi.string(it.kind) .. " " .. ffi.string(it.name)] = it
  if ffi.string(it.kind) == "evla.op/0" then
    local op = ffi.cast("const evla_op *", it.table)
    if op.infer == nil or ffi.string(op.inputs) == "" and ffi.string(op.outputs) == "" then slots = false end
    for k = 0, it.n_params - 1 do
      if ffi.string(it.params[k].name) == "" or it.params[k].offset >= it.params_size then slots = false end
    end
  end
end
ok(seen["evla.op/0 linear"] and seen["evla.op/0 gelu"], "linear and gelu are among its items")
ok(slots, "every operator's slots and parameters are in their places")

local lib = ffi.load(build .. "/libevla.so")
ok(ffi.string(lib.evla_version()):match "^%d+%.%d+%.%d+$", "the engine tells its version")

local function engine(path)
  local list = ffi.new "const char *[2]" -- one initializer would fill both
  list[0] = path
  local o = ffi.new("evla_engine_options", { size = ffi.sizeof "evla_engine_options", plugins = list })
  local out = ffi.new "evla_engine *[1]"
  local st = lib.evla_engine_new(o, out)
  return out[0], st
end
local function tensor(data, dtype, ...)
  local t = ffi.new "evla_tensor"
  local shape = { ... }
  t.data[0], t.dtype, t.rank = data, dtype, #shape
  local step = dtype == C.EVLA_F32 and 4 or 8
  for i = #shape, 1, -1 do
    t.shape[i - 1], t.stride[i - 1] = shape[i], step
    step = step * shape[i]
  end
  return t
end
local function why(e) return ffi.string(lib.evla_why(e)) end

local e, st = engine(build .. "/plugins/ops.so")
ok(st == 0, "an engine starts with one plugin " .. (st ~= 0 and why(e) or ""))
local x = ffi.new("float[6]", { 1, 2, 3, 4, 5, 6 })
local w = ffi.new("float[6]", { 1, 0, -1, 0.5, 0.5, 0.5 })
local b = ffi.new("float[2]", { 10, 20 })
local ins = ffi.new("evla_tensor[3]", { tensor(x, C.EVLA_F32, 2, 3), tensor(w, C.EVLA_F32, 2, 3), tensor(b, C.EVLA_F32, 2) })
local out = ffi.new "evla_tensor[1]"
st = lib.evla_op_run(e, "linear", nil, ins, 3, out, 1)
ok(st == 0 and out[0].rank == 2 and out[0].shape[0] == 2 and out[0].shape[1] == 2 and out[0].dtype == C.EVLA_F32,
  "linear tells the type of its output first " .. (st ~= 0 and why(e) or ""))
local y = ffi.new "float[4]"
out[0] = tensor(y, C.EVLA_F32, 2, 2)
st = lib.evla_op_run(e, "linear", nil, ins, 3, out, 1)
ok(st == 0 and y[0] == 8 and y[1] == 23 and y[2] == 8 and y[3] == 27.5,
  "and computes x w^T + b " .. (st ~= 0 and why(e) or table.concat({ y[0], y[1], y[2], y[3] }, " ")))
local one = ffi.new("evla_tensor[1]", { tensor(x, C.EVLA_F32, 2, 3) })
local z = ffi.new "float[6]"
out[0] = tensor(z, C.EVLA_F32, 2, 3)
st = lib.evla_op_run(e, "clamp", '{"min":2,"max":5}', one, 1, out, 1)
ok(st == 0 and z[0] == 2 and z[2] == 3 and z[5] == 5, "parameters are a JSON object " .. (st ~= 0 and why(e) or ""))
st = lib.evla_op_run(e, "lineer", nil, ins, 3, out, 1)
ok(st < 0 and why(e):find('"lineer"', 1, true) and why(e):find("linear", 1, true), "an unknown operator is refused with the near miss: " .. why(e))
local e2 = engine(build .. "/plugins/none.so")
ok(e2 ~= nil and why(e2):find "none%.so" and why(e):find "lineer", "a second engine has its own sentence")
lib.evla_engine_free(e2)
lib.evla_engine_free(e)
print("1.." .. n)
os.exit(failed == 0 and 0 or 1)
