-- init.lua: require "evla": the kinds, items and job types of the engine, and some comfort on top.
-- The bindings in C are "evla.core"; this file adds to the same table.
local evla = require "evla.core"

-- evla.rollout { ... } reads better than evla.stage.rollout { ... }.
if not rawget(evla, "rollout") then evla.rollout = evla.stage.rollout end

-- evla.report {} in a program: pictures of what came out, in out/<program>/report.html.
function evla.report(options)
  return setmetatable({ options = options or {} }, { report = true, __name = "evla.report" })
end

-- Which stage reads a file, by its ending.
local readers = { hdf5 = "hdf5", h5 = "hdf5" }

-- evla.records "demos.hdf5", or of a job, or of a stage that is a source: #set, set:record(1).
function evla.records(what)
  if type(what) == "string" then
    local ending = what:match("%.([%w]+)$") or ""
    local stage = readers[ending:lower()]
    if not stage then
      error(("records: no stage is known for \"%s\"; give it as evla.records(evla.stage.NAME { path = ... })"):format(what), 2)
    end
    what = evla.stage[stage] { path = what }
  end
  return evla.source(what)
end

-- evla.load "FILE": a model that reads and writes text, see language.lua.
evla.load = require "evla.language".load

-- evla.see "FOLDER": one that reads texts with a picture in them, see seeing.lua.
evla.see = require "evla.seeing".load

-- evla.policy "FILE": a model that sees, reads and acts, see policy.lua.
evla.policy = require "evla.policy".load

return evla
