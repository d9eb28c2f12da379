-- embed.lua -- the same as embed.c from LuaJIT, with nothing but the headers:
--   luajit embed.lua LIBEVLA HEADERS MODEL.evla PLUGINS GRAPH INPUT OUTPUT
local ffi = require "ffi"
local lib, headers, path, plugins, graph, input, output = unpack(arg)

for _, name in ipairs { "abi", "evla" } do
  local keep = {}
  for line in io.lines(headers .. "/" .. name .. ".h") do
    if line:sub(1, 1) ~= "#" then keep[#keep + 1] = line end
  end
  ffi.cdef(table.concat(keep, "\n"))
end
local evla, engine = ffi.load(lib), ffi.new("evla_engine *[1]")

local function check(status)
  if status < 0 then error(ffi.string(evla.evla_why(engine[0])), 0) end
end

local folders = ffi.new("const char *[2]")
folders[0] = plugins
local how = ffi.new("evla_engine_options", { size = ffi.sizeof "evla_engine_options", plugins = folders })
local batch = ffi.new("evla_symbol[1]", { { "B", 1 } })
local run = ffi.new("evla_session_options",
  { size = ffi.sizeof "evla_session_options", symbols = batch, n_symbols = 1 })
local model, session = ffi.new "evla_model *[1]", ffi.new "evla_session *[1]"
local x, y = ffi.new "evla_tensor", ffi.new "evla_tensor"

check(evla.evla_engine_new(how, engine))
check(evla.evla_model_open(engine[0], path, model))
check(evla.evla_session_new(model[0], graph, run, session))
check(evla.evla_session_input(session[0], input, x))
check(evla.evla_session_output(session[0], output, y))
local from, to = ffi.cast("float *", x.data[0]), ffi.cast("float *", y.data[0])
for i = 0, tonumber(x.shape[1]) - 1 do from[i] = 0.125 * i end
check(evla.evla_session_run(session[0]))
for i = 0, tonumber(y.shape[1]) - 1 do print(("%.9g"):format(to[i])) end
evla.evla_session_free(session[0])
evla.evla_model_close(model[0])
evla.evla_engine_free(engine[0])
