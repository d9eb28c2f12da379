-- records.lua -- what scripts see of records, run by records.t: sets, fields, tensors, their mistakes.
local evla = require "evla"

local function says(want, f, ...)
  local good, why = pcall(f, ...)
  assert(not good, "this should have been refused: " .. want)
  assert(tostring(why):find(want, 1, true), ("want %q, got %q"):format(want, tostring(why)))
end

local source = evla.rollout { body = evla.body.point { ticks = 50 }, episodes = 3, seed = 4 }
local set = evla.records(source)
assert(#set == 3)
local names = {}
for _, f in ipairs(set.fields) do names[f.name] = f end
assert(names.actions and names.actions.type:find("^f32%["))
assert(names.actions.rate == 100)

local r = set:record(2)
assert(r.index == 1 or r.index == 0)
assert(type(r.attrs) == "table")
assert(r.nothing == nil)
local a = r.actions
assert(a.dtype == "f32" and a.rank == 2 and #a == a.shape[1] and tostring(a):find("^f32%["))
local list, low, high = a:list(), math.huge, -math.huge
assert(#list == #a and #list[1] == a.shape[2])
for i, row in ipairs(list) do
  for k, v in ipairs(row) do
    assert(a[i][k] == v)
    low, high = math.min(low, v), math.max(high, v)
  end
end
local stats = a:stats()
assert(stats.min == low and stats.max == high and stats.n == #a * a.shape[2] and stats.finite == stats.n)
local part = a:slice(3, 5)
assert(#part == 3 and part[1][1] == a[3][1] and part:list()[3][1] == list[5][1])
assert(#a:slice(2) == #a - 1 and #a:slice(1, 0) == 0 and a:slice(4):slice(2)[1][1] == a[5][1])

-- the same record again is the same numbers; a tensor outlives its record
local again = set:record(2).actions
r = nil
collectgarbage()
assert(again[7][1] == a[7][1] and a[7][1] == list[7][1])

says("want a number from 1 to 3, got 4", set.record, set, 4)
says("want a number from 1 to 3, got 0", set.record, set, 0)
says("is outside 1 to", function() return a[0] end)
says("is outside 1 to", function() return a[#a + 1] end)
says("slice 0 to", a.slice, a, 0)
says("is outside", a.slice, a, 2, #a + 1)
says("want a path or a stage", evla.records, evla.body.point {})
says("no stage is known for", evla.records, "file.none")
print "reached the end"
return evla.pipeline "p" { source }
