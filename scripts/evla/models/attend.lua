-- attend.lua: who attends to whom in a sequence, and at which positions, for other model files. valid, a bool[n] that is known at
-- a call only, says which of n places are taken: nobody attends to the others, and positions do not count them. nil: all are.
local attend = {}

local function counted(g, n, first, kind)
  local list = {} for i = 1, n do list[i] = first + i - 1 end
  return g:const(("%s[%d]"):format(kind, n), list)
end
local function row(g, x, n) return g.reshape { x, shape = { 1, n } } end
local function column(g, x, n) return g.reshape { x, shape = { n, 1 } } end
local function at_most(g, a, b) return g.equal { g.maximum { a, b }, b } end

-- bool[n,n]: each place has a rank of 0 or more, and attends to those of its own rank and below.
function attend.ranked(g, ranks, valid)
  local n, highest = #ranks, math.max(table.unpack(ranks))
  local rank = g:const(("f32[%d]"):format(n), ranks)
  return at_most(g, row(g, valid and g.where { valid, rank, highest + 1.0 } or rank, n), column(g, rank, n))
end

-- i32[n]: 0, 1, 2, ... over the places that are taken, others like the nearest before them.
function attend.positions(g, n, valid)
  if not valid then return counted(g, n, 0, "i32") end
  local place = counted(g, n, 0, "f32")
  local before = g.cast { at_most(g, column(g, place, n), row(g, place, n)), to = "f32" }
  local sums = g.matmul { row(g, g.cast { valid, to = "f32" }, n), before }
  return g.cast { g.reshape { g.sub { sums, 1 }, shape = { n } }, to = "i32" }
end

-- i32[count]: positions of so many behind the n.
function attend.behind(g, n, count, valid)
  if not valid then return counted(g, count, n, "i32") end
  return g.add { counted(g, count, 0, "i32"), g.cast { g.reduce_sum { g.cast { valid, to = "f32" } }, to = "i32" } }
end

-- bool[1,n+more]: the n, and more behind them that all may attend to; nil when all are taken.
function attend.taken(g, n, valid, more)
  if not valid then return nil end
  if more == 0 then return row(g, valid, n) end
  local ones = {} for i = 1, more do ones[i] = 1 end
  return row(g, g.concat { valid, g:const(("bool[%d]"):format(more), ones), axis = 0 }, n + more)
end

return attend
