-- doctor.lua: evla doctor: what this machine has, what it lacks, and the line that mends it.
local call = ...
local evla = require "evla.core"
local files = require "evla.files"
local json = require "evla.json"
local pretty = require "evla.pretty"

for name in pairs(call.options) do
  io.stderr:write(("evla: doctor has no --%s\n"):format(name))
  return 2
end

-- What a plugin is for, the Debian packages that build it, and libraries of which it needs one when it runs.
local known = {
  ["cpu-x86"] = { what = "fast operators for x86-64", arch = "x86_64" },
  half = { what = "16-bit floats" },
  hdf5 = { what = "datasets in HDF5", packages = "libhdf5-dev libdeflate-dev",
    libraries = { "libhdf5_serial.so.103", "libhdf5.so.103", "libhdf5_serial.so", "libhdf5.so" } },
  image = { what = "JPEG and PNG files, film strips", packages = "libspng-dev libjpeg-dev zlib1g-dev" },
  mujoco = { what = "the simulated arm", packages = "libmujoco-dev" },
  ops = { what = "the standard operators" },
  replay = { what = "keeps what happens again bit for bit" },
  safetensors = { what = "weights as PyTorch models are published" },
  sanity = { what = "throws out what went wrong" },
  template = { what = "the plugin to copy" },
  tokenizer = { what = "text as the tokens of language models", packages = "libcjson-dev" },
}

local advice, report = {}, {}
local function advise(format, ...) advice[#advice + 1] = format:format(...) end

local function colour(code, s) return call.colour and ("\27[%sm%s\27[0m"):format(code, s) or s end
local function mark(fine) return fine and colour("32", "ok") or colour("33", "--") end
local function bold(s) return colour("1", s) end

local function text_of(path) return files.read(path) or "" end

-- ---- the machine ----

local m = call.machine()
local cpu = text_of("/proc/cpuinfo")
local flags = " " .. (cpu:match("flags%s*:%s*([^\n]*)") or cpu:match("Features%s*:%s*([^\n]*)") or "") .. " "
local vectors = {}
for _, f in ipairs { { "avx2", "AVX2" }, { "avx512f", "AVX-512" }, { "avx512_vnni", "VNNI" }, { "amx_tile", "AMX" }, { "asimd", "NEON" } } do
  if flags:find(" " .. f[1] .. " ", 1, true) then vectors[#vectors + 1] = f[2] end
end
local memory = text_of("/proc/meminfo")
local function kib(name) return (tonumber(memory:match(name .. ":%s*(%d+)")) or 0) * 1024 end
local total, free = kib("MemTotal"), kib("MemAvailable")
-- a container may be given less than the machine has
local limit = tonumber(text_of("/sys/fs/cgroup/memory.max"):match("%d+") or "")
if limit and limit < total then
  total, free = limit, math.max(0, math.min(free, limit - (tonumber(text_of("/sys/fs/cgroup/memory.current"):match("%d+") or "") or 0)))
end
local function folder_that_is_there(path)
  if path:sub(1, 1) ~= "/" then path = call.here .. "/" .. path end
  while path ~= "" and call.exists(path) ~= "folder" do path = path:match("^(.*)/[^/]*$") or "" end
  return path == "" and "/" or path
end
local disk_free, disk_total = call.disk(folder_that_is_there(call.out))

report.machine = { cpu = cpu:match("model name%s*:%s*([^\n]*)") or m.arch, arch = m.arch, processors = math.tointeger(m.processors),
  vectors = json.array(vectors), kernel = m.kernel, libc = m.libc, memory_bytes = total, memory_free_bytes = free,
  disk_free_bytes = disk_free, realtime = m.realtime, planned = m.planned, features = m.features }
if free < 512 << 20 then advise("memory is short: %s are free; a simulation with cameras wants about 500 MiB", pretty.bytes(free)) end
if disk_free and disk_free < 1 << 30 then
  advise("the disk is nearly full: %s are left below %s; --out puts results elsewhere", pretty.bytes(disk_free), call.out)
end
if not m.realtime then
  advise("real-time scheduling is not permitted, so control loops share the processor with everything else; to permit it: "
    .. "ulimit -r 99, or rtprio in /etc/security/limits.conf, or CAP_SYS_NICE")
end

-- ---- plugins ----

local loaded, names, plugins = {}, {}, {}
for _, p in ipairs(evla.plugins()) do loaded[p.id:gsub("^evla%.", "")] = p end
for name in pairs(known) do names[name] = true end
for name in pairs(loaded) do names[name] = true end
for _, name in ipairs(call.names(call.scripts:match("^(.*)/[^/]+$") .. "/plugins") or {}) do names[name] = true end
local order = {}
for name in pairs(names) do if name ~= "core" then order[#order + 1] = name end end
table.sort(order)
local missing = {}
for _, name in ipairs(order) do
  local p, k = loaded[name], known[name] or { what = "" }
  local row = { name = name, version = p and p.version, what = k.what, fine = p ~= nil }
  if not p then
    if call.exists(("%s/%s.so"):format(call.plugins, name)) then row.note = "built, but not loaded"
    elseif k.arch and k.arch ~= m.arch then
      row.note = ("not built: it is for %s, this is %s; the portable operators do its work"):format(k.arch, m.arch)
    elseif k.packages then
      row.note = "not built; it needs " .. k.packages
      missing[#missing + 1] = k.packages
    else row.note = "not built; make builds it" end
  elseif k.libraries then
    for _, library in ipairs(k.libraries) do
      if call.library(library) then row.note = "with " .. library break end
    end
    if not row.note then
      row.fine, row.note = false, "its library is not there when it runs: install " .. k.packages
      missing[#missing + 1] = k.packages
    end
  end
  if p and #p.items > 0 and not row.note then
    local kinds, parts = {}, {}
    for _, it in ipairs(p.items) do if it.kind ~= "kernel" then kinds[it.kind] = (kinds[it.kind] or 0) + 1 end end
    for kind, n in pairs(kinds) do parts[#parts + 1] = n > 1 and ("%d %s"):format(n, kind .. "s") or kind end
    table.sort(parts)
    row.note = table.concat(parts, ", ")
  end
  plugins[#plugins + 1] = row
end
if #missing > 0 then advise("apt-get install %s, then make", table.concat(missing, " ")) end
if call.refused then advise("%s", call.refused) end

report.evla = { version = evla.version, program = call.program, plugins = call.plugins, scripts = call.scripts, out = call.out }
report.plugins, report.advice = json.array(plugins), json.array(advice)
if call.json then
  print(json.encode(report, true))
  return 0
end

-- ---- what a person reads ----

local function rows_out(rows) for _, line in ipairs(pretty.columns(rows, "  ")) do print(line) end end

print(bold("evla " .. evla.version))
rows_out { { "program", call.program }, { "plugins", call.plugins }, { "scripts", call.scripts },
  { "results", call.out:sub(1, 1) == "/" and call.out or call.here .. "/" .. call.out } }
print("\n" .. bold("this machine"))
rows_out {
  { "processor", ("%s, %d of them%s"):format(report.machine.cpu, m.processors, #vectors > 0 and ", " .. table.concat(vectors, " ") or "") },
  { "planned for", m.planned .. (m.features ~= "" and (" (%s)"):format(m.features) or "") },
  { "system", ("%s %s, %s"):format(m.kernel, m.arch, m.libc) },
  { "memory", ("%s free of %s"):format(pretty.bytes(free), pretty.bytes(total)) },
  { "disk", disk_free and ("%s free of %s"):format(pretty.bytes(disk_free), pretty.bytes(disk_total)) or "unknown" },
  { "real time", m.realtime and "SCHED_FIFO is permitted" or "SCHED_FIFO is not permitted" },
}
print("\n" .. bold("plugins"))
local widest = 0
for _, p in ipairs(plugins) do widest = math.max(widest, #p.name) end
for _, p in ipairs(plugins) do
  print((("  %s  %s%s  %s%s"):format(mark(p.fine), p.name, (" "):rep(widest - #p.name), p.what,
    p.note and p.note ~= "" and colour("90", (" (%s)"):format(p.note)) or "")))
end
if #advice == 0 then print("\nEverything is there. Next: evla run pipelines/coffee.lua, or evla repl")
else
  print("\n" .. bold(#advice == 1 and "one thing to know" or ("%d things to know"):format(#advice)))
  for _, a in ipairs(advice) do print("  " .. a) end
end
return 0
