-- smolvla.lua: what `make bench-vla` asks of evla: opens a policy and says so, then a line of JSON: of each of --runs calls the
-- milliseconds of every phase. The first byte is timed.
local evla = require "evla"
local json = require "evla.json"
local opt = evla.options {
  model = { type = "path", doc = "a GGUF file, or a bundle" },
  type = { type = "string", default = "file", doc = "number format of the matrices; file: as there" },
  runs = { type = "int", default = 0, min = 0, doc = "calls behind one that warms up; 0: not even that" },
}
local policy = evla.policy(opt.model, not opt.model:find "%.evla$" and { cameras = 2, type = opt.type ~= "file" and opt.type or nil } or nil)
local session = policy:session()
print "open"
io.stdout:flush()
local calls = {}
for i = 0, opt.runs > 0 and opt.runs or -1 do
  session:run()
  local phases = {}
  for _, p in ipairs(session:phases()) do phases[p.name] = p.ms end
  if i > 0 then calls[i] = phases end
end
print(json.encode(json.array(calls)))
return evla.program { policy.model }
