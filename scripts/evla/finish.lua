-- finish.lua: what a run leaves behind: summary.json (figures), manifest.json (what made them), report.html (pictures).
-- Called by the command line with what the core knows.
local evla, files, json, summary = require "evla", require "evla.files", require "evla.json", require "evla.summary"
local run = ...
summary.here = run.here

local jobs = json.decode(run.jobs).jobs
local versions = { evla = run.version, lua = _VERSION:match("%d.*") }
for _, p in ipairs(run.plugins) do versions[p.id] = p.version end
local s = summary.of(run.program, jobs, { versions = versions, memory = {
  peak_rss_bytes = run.peak_rss_bytes, engine_overhead_bytes = run.declared_rss_bytes } })

local keys, unchanged = {}, true
for _, j in ipairs(jobs) do
  keys[j.name] = j.key
  unchanged = unchanged and j.state == "skipped"
end
local manifest = json.encode({
  program = run.program, file = run.file, options = run.options, sources_sha256 = run.sources, job_keys = keys,
  engine = { version = run.version }, plugins = json.array(run.plugins),
}, true) .. "\n"

-- What shows exactly this is left as it stands, so that a run with nothing to do takes no time.
local page = run.report and run.out .. "/report.html"
if not (unchanged and files.read(run.out .. "/manifest.json") == manifest and (not page or files.read(page))) then
  evla.write_file(run.out .. "/summary.json", json.encode(s, true) .. "\n")
  if page then require("evla.report").write(page, s) end
  evla.write_file(run.out .. "/manifest.json", manifest)
end

if run.json then io.stdout:write(json.encode(s), "\n") return end
if run.quiet then return end
print(summary.line(s))
for _, line in ipairs(summary.details(s)) do print(line) end
if page then print("look at " .. summary.short(page)) end
