-- pretty.lua: any value as text that a person reads: tables, tensors with range and sparkline, records, choices, jobs.
--
-- pretty.new{ name_of = f, width = 80, colour = false } -> function(value) -> text
-- name_of(v): the type that the engine gave a value ("evla.tensor"), or nil.
local pretty = {}
local describe = require("evla.core").describe
local concat, sort, floor, huge = table.concat, table.sort, math.floor, math.huge

local MOST_ENTRIES, MOST_DEPTH, MOST_TEXT, MOST_POINTS, MOST_COLUMNS = 40, 5, 400, 48, 8
local blocks = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" }

local reserved = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then true
  until while]]):gmatch("%a+") do reserved[word] = true end

function pretty.number(x)
  if math.type(x) == "integer" then return ("%d"):format(x) end
  if x ~= x then return "nan" elseif x == huge then return "inf" elseif x == -huge then return "-inf" end
  return (("%.6g"):format(x))
end

-- values: numbers; one character for each, from the smallest to the largest.
function pretty.sparkline(values)
  local low, high = huge, -huge
  for _, v in ipairs(values) do
    if v == v and v < low then low = v end
    if v == v and v > high then high = v end
  end
  local out = {}
  for i, v in ipairs(values) do
    local step = high > low and high < huge and low > -huge and (v - low) / (high - low) * 7.999 or 3
    out[i] = v ~= v and "×" or blocks[floor(math.max(0, math.min(7, step))) + 1]
  end
  return concat(out)
end

function pretty.bytes(n)
  for _, unit in ipairs { "B", "KiB", "MiB", "GiB" } do
    if n < 1024 then return (unit == "B" and "%d %s" or "%.1f %s"):format(n, unit) end
    n = n / 1024
  end
  return ("%.1f TiB"):format(n)
end

-- rows: lists of cells; left-aligned unless a cell is a number. Returns lines.
function pretty.columns(rows, indent)
  local widths, lines = {}, {}
  local function text(c) return type(c) == "number" and pretty.number(c) or tostring(c == nil and "" or c) end
  for _, r in ipairs(rows) do
    for i = 1, #r do widths[i] = math.max(widths[i] or 0, utf8.len(text(r[i])) or #text(r[i])) end
  end
  for _, r in ipairs(rows) do
    local cells = {}
    for i = 1, #r do
      local s = text(r[i])
      local pad = (" "):rep(widths[i] - (utf8.len(s) or #s))
      cells[i] = type(r[i]) == "number" and pad .. s or i < #r and s .. pad or s
    end
    lines[#lines + 1] = ((indent or "") .. concat(cells, "  ")):gsub("%s+$", "")
  end
  return lines
end

function pretty.quote(s)
  local more = #s > MOST_TEXT and ("... (%d bytes)"):format(#s) or ""
  s = s:sub(1, MOST_TEXT):gsub('[%c"\\\127]', function(c)
    return c == "\n" and "\\n" or c == '"' and '\\"' or c == "\\" and "\\\\" or c == "\t" and "\\t" or ("\\x%02x"):format(c:byte())
  end)
  if not utf8.len(s) then s = s:gsub("[\128-\255]", function(c) return ("\\x%02x"):format(c:byte()) end) end
  return '"' .. s .. '"' .. more
end

local quote = pretty.quote

-- At most MOST_POINTS places from 1 to n, first and last among them.
local function places(n)
  local out, k = {}, math.min(n, MOST_POINTS)
  for i = 1, k do out[i] = k == 1 and 1 or 1 + floor((i - 1) * (n - 1) / (k - 1) + 0.5) end
  return out
end

local function range(s)
  if not s.min then return s.n == 0 and "empty" or ("%d values, none finite"):format(s.n) end
  local text = ("%s to %s, mean %s"):format(pretty.number(s.min), pretty.number(s.max), pretty.number(s.mean))
  return s.finite < s.n and ("%s; %d of %d not finite"):format(text, s.n - s.finite, s.n) or text
end

local function tensor(t)
  local shape = t.shape
  local n = shape[1] or 1
  if #shape == 0 then return tostring(t) .. "  " .. pretty.number(t:list()) end
  local s = t:stats()
  local lines = { tostring(t) .. "  " .. range(s) }
  if s.n == 0 then return lines[1] end
  if #shape == 1 and n <= 8 then
    local out = {}
    for i = 1, n do out[i] = pretty.number(t[i]) end
    return lines[1] .. "\n  " .. concat(out, "  ")
  end
  if #shape == 2 and shape[2] <= MOST_COLUMNS then
    local columns, rows = {}, {}
    for c = 1, shape[2] do columns[c] = {} end
    for k, i in ipairs(places(n)) do
      for c, v in ipairs(t[i]:list()) do columns[c][k] = v end
    end
    for c, values in ipairs(columns) do
      rows[c] = { ("[:,%d]"):format(c), pretty.sparkline(values), values[1], "->", values[#values] }
    end
    for _, line in ipairs(pretty.columns(rows, "  ")) do lines[#lines + 1] = line end
    return concat(lines, "\n")
  end
  local values = {}
  for k, i in ipairs(places(n)) do
    if #shape == 1 then values[k] = t[i] else values[k] = t[i]:stats().mean or 0 / 0 end
  end
  lines[2] = "  " .. pretty.sparkline(values) .. (#shape > 1 and "  mean along the first axis" or "")
  return concat(lines, "\n")
end

local function sorted_keys(t)
  local keys, n = {}, #t
  for k in next, t do
    if not (math.type(k) == "integer" and k >= 1 and k <= n) then keys[#keys + 1] = k end
  end
  sort(keys, function(a, b)
    if type(a) ~= type(b) then return type(a) < type(b) end
    if type(a) == "number" or type(a) == "string" then return a < b end
    return tostring(a) < tostring(b)
  end)
  return keys, n
end
pretty.sorted_keys = sorted_keys

function pretty.new(o)
  local width, name_of = o.width or 80, o.name_of or function() end
  local show

  local function grey(s) return o.colour and "\27[90m" .. s .. "\27[0m" or s end

  local function key(k)
    if type(k) == "string" and k:find("^[%a_][%w_]*$") and not reserved[k] then return k end
    return "[" .. show(k, MOST_DEPTH, {}) .. "]"
  end

  local function plain_table(t, depth, open, indent)
    if open[t] then return "<itself>" end
    if next(t) == nil then return "{}" end
    if depth >= MOST_DEPTH then return "{...}" end
    open[t] = true
    local parts, keys, n = {}, sorted_keys(t)
    local total = n + #keys
    for i = 1, math.min(n, MOST_ENTRIES) do parts[#parts + 1] = show(rawget(t, i), depth + 1, open, indent .. "  ") end
    for _, k in ipairs(keys) do
      if #parts == MOST_ENTRIES then break end
      parts[#parts + 1] = key(k) .. " = " .. show(rawget(t, k), depth + 1, open, indent .. "  ")
    end
    open[t] = nil
    if total > #parts then parts[#parts + 1] = ("... %d more"):format(total - #parts) end
    local line = "{ " .. concat(parts, ", ") .. " }"
    if #line + #indent <= width - 4 and not line:find("\n", 1, true) then return line end
    return "{\n" .. indent .. "  " .. concat(parts, ",\n" .. indent .. "  ") .. "\n" .. indent .. "}"
  end

  -- A parameter as its user would write it.
  local function param(p, v, depth, open, indent)
    if p.type:find("^size") and math.type(v) == "integer" then
      for i, unit in ipairs { "GiB", "MiB", "KiB" } do
        local one = 1 << (40 - 10 * i)
        if v >= one and v % one == 0 then return ('"%d%s"'):format(v // one, unit) end
      end
    elseif p.kind and type(v) == "string" then return ("evla.%s.%s"):format(p.kind, v) end
    return show(v, depth, open, indent)
  end

  -- name { a = 1, ... } with each parameter's doc behind it
  local function choice(c, depth, open, indent)
    local d = describe(c)
    local rows, params = {}, c.params
    if #d.params == 0 then return d.name .. " {}" end
    if depth > 0 then
      local parts = {}
      for _, p in ipairs(d.params) do
        local v = params[p.name]
        local text = param(p, v, MOST_DEPTH, open, indent)
        local preset = p.default and (text == p.default or text == '"' .. p.default .. '"' or tostring(v) == p.default
          or tonumber(p.default) and tonumber(p.default) == v)
        if v ~= nil and not preset then parts[#parts + 1] = p.name .. " = " .. text end
      end
      return d.name .. " { " .. concat(parts, ", ") .. (#parts > 0 and " }" or "}")
    end
    for _, p in ipairs(d.params) do
      local v = params[p.name]
      rows[#rows + 1] = { p.name, "= " .. param(p, v, 3, open, indent .. "  "), "-- " .. p.doc }
    end
    local lines = pretty.columns(rows, indent .. "  ")
    for i, line in ipairs(lines) do
      local code, note = line:match("^(.-)(%s%-%- .*)$")
      lines[i] = code and code .. grey(note) or line
    end
    return d.name .. " {\n" .. concat(lines, "\n") .. "\n" .. indent .. "}"
  end

  local function job(j, depth, open, indent)
    local head = ('%s "%s" (%s)'):format(j.type, j.name, j.where)
    if depth > 0 then return head end
    local lines = { head .. ": " .. j.state .. (j.seconds > 0 and (" in %.1f s"):format(j.seconds) or "") }
    if j.state == "waiting" then lines[2] = "  given   = " .. show(j.given, 1, open, indent .. "  ") end
    if next(j.figures) then lines[#lines + 1] = "  figures = " .. show(j.figures, 1, open, indent .. "  ") end
    if j.state == "done" or j.state == "skipped" then lines[#lines + 1] = "  result  = " .. quote(j.result) end
    return concat(lines, "\n" .. indent)
  end

  local function record(r, depth, open, indent)
    local head = ("record %d with %d fields"):format(r.index + 1, #r.names)
    if depth > 0 then return head end
    local rows = {}
    for _, name in ipairs(r.names) do rows[#rows + 1] = { name, tostring(r[name]), range(r[name]:stats()) } end
    local lines = pretty.columns(rows, indent .. "  ")
    table.insert(lines, 1, head)
    lines[#lines + 1] = indent .. "  attrs = " .. show(r.attrs, 1, open, indent .. "  ")
    return concat(lines, "\n")
  end

  local function set(s, depth, _, indent)
    local head = ("%d records"):format(#s)
    if depth > 0 then return head end
    local rows = {}
    for _, f in ipairs(s.fields) do
      rows[#rows + 1] = { f.name, f.type, f.unit, f.rate > 0 and ("%g Hz"):format(f.rate) or "", grey(f.doc) }
    end
    local lines = pretty.columns(rows, indent .. "  ")
    table.insert(lines, 1, head)
    return concat(lines, "\n")
  end

  local function texts(t, depth)
    if depth > 0 or #t == 0 then return tostring(t) end
    local out = {}
    for i = 1, math.min(#t, 8) do out[i] = quote(t[i]) end
    return tostring(t) .. ": " .. concat(out, ", ") .. (#t > #out and ", ..." or "")
  end

  local function kind(t)
    local rows, keys = {}, sorted_keys(t)
    for _, k in ipairs(keys) do
      local d = describe(t[k])
      rows[#rows + 1] = { d and d.name or tostring(k), d and grey(d.doc) or "" }
    end
    return #rows > 0 and concat(pretty.columns(rows), "\n") or "{}"
  end

  local function item(v)
    local d = describe(v)
    return ("%s: %s\n%s"):format(d.name, d.doc, grey("help(" .. d.name .. ") lists its parameters"))
  end

  local by_name = { ["evla.tensor"] = function(t, depth) return depth == 0 and tensor(t) or tostring(t) end,
    ["evla.texts"] = texts, ["evla.record"] = record, ["evla.set"] = set, ["evla.choice"] = choice, ["evla.job"] = job,
    ["evla.kind"] = function(t, depth) return depth == 0 and kind(t) or ("{ %d items }"):format(#(sorted_keys(t))) end,
    ["evla.item"] = function(v, depth) return depth == 0 and item(v) or describe(v).name end,
    ["evla.jobtype"] = function(v, depth) return depth == 0 and item(v) or describe(v).name end }

  function show(v, depth, open, indent)
    local t = type(v)
    if t == "string" then return quote(v) end
    if t == "number" then
      return math.type(v) == "float" and v == floor(v) and v > -1e15 and v < 1e15 and ("%.1f"):format(v) or pretty.number(v)
    end
    local own = by_name[name_of(v)]
    if own then return own(v, depth, open, indent or "") end
    if t == "table" then
      local mt = getmetatable(v)
      if type(mt) == "table" and mt.__tostring then return tostring(v) end
      return plain_table(v, depth, open, indent or "")
    end
    return tostring(v)
  end

  return function(v) return show(v, 0, {}, "") end
end

return pretty
