-- svg.lua: small charts as SVG text for reports. Colours follow the page (currentColor, CSS classes).
local svg = {}

local function escape(s)
  return (tostring(s):gsub("[&<>\"]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }))
end
svg.escape = escape

-- A number for people: three significant digits, no exponent where it can be avoided.
function svg.number(v)
  if v == math.floor(v) and math.abs(v) < 1e6 then return string.format("%d", v) end
  local a = math.abs(v)
  if a >= 1e5 or a < 1e-3 then -- 8e-4, 1.25e-4
    return (string.format("%.2e", v):gsub("%.?0*e", "e"):gsub("e([-+])0*(%d)", function(sign, d) return "e" .. (sign == "-" and "-" or "") .. d end))
  end
  if a >= 100 then return string.format("%.0f", v) end
  if a >= 10 then return string.format("%.1f", v) end
  return string.format("%.3g", v)
end

-- Horizontal bars: rows of { label, value, of = total, note = text }. The bar is value / of.
function svg.bars(rows, width)
  width = width or 520
  local row, left, right = 24, 150, 110
  for _, r in ipairs(rows) do -- room for the words
    left = math.max(left, 14 + 6.4 * (utf8.len(r[1]) or #r[1]))
    right = math.max(right, 14 + 5.9 * (utf8.len(r.note or "") or 0))
  end
  left, right = math.min(left, 300), math.min(right, width / 3)
  local out = { ('<svg class="chart" viewBox="0 0 %d %d" role="img">'):format(width, #rows * row + 4) }
  local most = 0
  for _, r in ipairs(rows) do most = math.max(most, r.of or r[2]) end
  local room = width - left - right
  for i, r in ipairs(rows) do
    local y = (i - 1) * row + 2
    local full = most > 0 and room * (r.of or most) / most or 0
    local part = most > 0 and room * r[2] / most or 0
    out[#out + 1] = ('<text x="%.0f" y="%d" text-anchor="end">%s</text>'):format(left - 8, y + 15, escape(r[1]))
    if r.of then
      out[#out + 1] = ('<rect class="ground" x="%.0f" y="%d" width="%.1f" height="16" rx="3"/>'):format(left, y + 2, full)
    end
    out[#out + 1] = ('<rect class="bar" x="%.0f" y="%d" width="%.1f" height="16" rx="3"/>'):format(left, y + 2, part)
    out[#out + 1] = ('<text class="note" x="%.1f" y="%d">%s</text>'):format(
      left + math.max(full, part) + 8, y + 15, escape(r.note or svg.number(r[2])))
  end
  out[#out + 1] = "</svg>"
  return table.concat(out, "\n")
end

-- A histogram of numbers with a title under it: unit behind the numbers of the axis.
function svg.histogram(values, title, unit, bins)
  if #values == 0 then return "" end
  bins = bins or 16
  local low, high = math.huge, -math.huge
  for _, v in ipairs(values) do low, high = math.min(low, v), math.max(high, v) end
  if high - low < 1e-12 then low, high = low - 0.5, high + 0.5 end
  local n, most = {}, 0
  for i = 1, bins do n[i] = 0 end
  for _, v in ipairs(values) do
    local i = math.min(bins, math.floor((v - low) / (high - low) * bins) + 1)
    n[i] = n[i] + 1
    most = math.max(most, n[i])
  end
  local w, h = 220, 92
  local out = { ('<svg class="chart small" viewBox="0 0 %d %d" role="img">'):format(w, h + 36) }
  local each = (w - 4) / bins
  for i = 1, bins do
    local tall = h * n[i] / most
    out[#out + 1] = ('<rect class="bar" x="%.1f" y="%.1f" width="%.1f" height="%.1f"><title>%d</title></rect>'):format(
      2 + (i - 1) * each + 0.5, h - tall + 2, each - 1, tall, n[i])
  end
  out[#out + 1] = ('<line class="axis" x1="0" x2="%d" y1="%d" y2="%d"/>'):format(w, h + 2, h + 2)
  out[#out + 1] = ('<text class="note" x="0" y="%d">%s</text>'):format(h + 16, svg.number(low))
  out[#out + 1] = ('<text class="note" x="%d" y="%d" text-anchor="end">%s%s</text>'):format(
    w, h + 16, svg.number(high), unit ~= "" and " " .. escape(unit) or "")
  out[#out + 1] = ('<text x="%d" y="%d" text-anchor="middle">%s</text>'):format(w / 2, h + 32, escape(title))
  out[#out + 1] = "</svg>"
  return table.concat(out, "\n")
end

-- Points on a plane, equal scales: rows of { x, y, class = n }.
function svg.plane(points, title, unit)
  if #points == 0 then return "" end
  local x0, x1, y0, y1 = math.huge, -math.huge, math.huge, -math.huge
  for _, p in ipairs(points) do
    x0, x1 = math.min(x0, p[1]), math.max(x1, p[1])
    y0, y1 = math.min(y0, p[2]), math.max(y1, p[2])
  end
  local size = math.max(x1 - x0, y1 - y0, 1e-9) * 1.08
  local cx, cy, w = (x0 + x1) / 2, (y0 + y1) / 2, 220
  local out = { ('<svg class="chart small" viewBox="0 0 %d %d" role="img">'):format(w, w + 36) }
  out[#out + 1] = ('<rect class="ground" x="0" y="0" width="%d" height="%d" rx="4"/>'):format(w, w)
  for _, p in ipairs(points) do
    out[#out + 1] = ('<circle class="dot c%d" cx="%.1f" cy="%.1f" r="2.6"/>'):format(
      (p.class or 0) % 8, w * ((p[1] - cx) / size + 0.5), w * (0.5 - (p[2] - cy) / size))
  end
  out[#out + 1] = ('<text class="note" x="0" y="%d">%s %s wide</text>'):format(w + 14, svg.number(size), escape(unit))
  out[#out + 1] = ('<text x="%d" y="%d" text-anchor="middle">%s</text>'):format(w / 2, w + 32, escape(title))
  out[#out + 1] = "</svg>"
  return table.concat(out, "\n")
end

-- ---- axes ----

-- Round numbers from low to high, about n of them.
local function ticks(low, high, n)
  local out, span = {}, high - low
  if not (span > 0) then return { low } end
  local step = 10 ^ math.floor(math.log(span / n, 10))
  for _, m in ipairs { 1, 2, 5, 10 } do
    if span / (step * m) <= n then step = step * m break end
  end
  local k = math.ceil(low / step - 1e-9)
  while k * step <= high + step * 1e-9 do
    out[#out + 1] = k * step
    k = k + 1
  end
  return out
end

-- Powers of ten with 2 and 5 between while there are few.
local function log_ticks(low, high)
  local out, decades = {}, math.log(high / low, 10)
  for e = math.floor(math.log(low, 10)), math.ceil(math.log(high, 10)) do
    for _, m in ipairs(decades < 1 and { 1, 1.5, 2, 3, 4, 5, 7 } or decades < 2.5 and { 1, 2, 5 } or { 1 }) do
      local v = m * 10.0 ^ e
      if v >= low * 0.999 and v <= high * 1.001 then out[#out + 1] = v end
    end
  end
  return out
end

-- A plot's frame: x and y turn values into places, out gets grid and labels.
local function plot(o)
  local w, h = o.width or 640, o.height or 250
  local left, right, top, bottom = 54, o.right or 78, 14, 38
  local out = { ('<svg class="chart" style="max-width:%dpx" viewBox="0 0 %d %d" role="img">'):format(w, w, h) }
  local function scale(low, high, from, to, log)
    if log then low, high = math.log(low), math.log(high) end
    if high - low < 1e-30 then high = low + 1 end
    return function(v)
      if log then v = math.log(v) end
      return from + (v - low) / (high - low) * (to - from)
    end
  end
  local x = scale(o.x0, o.x1, left, w - right, o.log_x)
  local y = scale(o.y0, o.y1, h - bottom, top, o.log_y)
  for _, v in ipairs(o.log_y and log_ticks(o.y0, o.y1) or ticks(o.y0, o.y1, 5)) do
    out[#out + 1] = ('<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text class="note" x="%d" y="%.1f" text-anchor="end">%s</text>')
      :format(left, w - right, y(v), y(v), left - 7, y(v) + 4, svg.number(v))
  end
  for _, v in ipairs(o.log_x and log_ticks(o.x0, o.x1) or ticks(o.x0, o.x1, 8)) do
    out[#out + 1] = ('<text class="note" x="%.1f" y="%d" text-anchor="middle">%s</text>'):format(x(v), h - bottom + 16, svg.number(v))
  end
  out[#out + 1] = ('<line class="axis" x1="%d" x2="%d" y1="%d" y2="%d"/>'):format(left, w - right, h - bottom, h - bottom)
  out[#out + 1] = ('<text class="note" x="%d" y="%d" text-anchor="end">%s</text>'):format(w - right, h - 5, escape(o.x_label or ""))
  out[#out + 1] = ('<text class="note" x="%d" y="%d">%s</text>'):format(left, top - 4, escape(o.y_label or ""))
  return x, y, out, h - bottom, w - right
end

-- Lines over one axis: list of { x = {...}, y = {...}, name, class = "c1", dots = bool }. o: x_label, y_label, log_y.
-- Names stand at the lines' ends. Points that cannot be drawn are left out.
function svg.lines(list, o)
  o = o or {}
  local f = { x0 = math.huge, x1 = -math.huge, y0 = math.huge, y1 = -math.huge, log_y = o.log_y,
    x_label = o.x_label, y_label = o.y_label, height = o.height, width = o.width }
  local function drawn(x, y) return y == y and y < math.huge and y > (o.log_y and 0 or -math.huge) and x == x end
  for _, s in ipairs(list) do
    for i = 1, #s.x do
      if drawn(s.x[i], s.y[i]) then
        f.x0, f.x1 = math.min(f.x0, s.x[i]), math.max(f.x1, s.x[i])
        f.y0, f.y1 = math.min(f.y0, s.y[i]), math.max(f.y1, s.y[i])
      end
    end
  end
  if f.x0 > f.x1 then return "" end
  if f.y0 == f.y1 then f.y0, f.y1 = f.y0 * 0.9 - (o.log_y and 0 or 1e-9), f.y1 * 1.1 + 1e-9 end
  local x, y, out = plot(f)
  local taken = {}
  for _, s in ipairs(list) do
    local points, last = {}, nil
    for i = 1, #s.x do
      if drawn(s.x[i], s.y[i]) then
        points[#points + 1] = ("%.1f,%.1f"):format(x(s.x[i]), y(s.y[i]))
        last = i
        if s.dots then
          out[#out + 1] = ('<circle class="dot %s" cx="%.1f" cy="%.1f" r="3"><title>%s %s: %s</title></circle>'):format(
            s.class or "", x(s.x[i]), y(s.y[i]), escape(o.x_label or "x"), svg.number(s.x[i]), svg.number(s.y[i]))
        end
      end
    end
    out[#out + 1] = ('<polyline class="line %s" points="%s"/>'):format(s.class or "", table.concat(points, " "))
    if last and s.name then
      local at = y(s.y[last])
      for _, other in ipairs(taken) do if math.abs(other - at) < 13 then at = other + (at < other and -13 or 13) end end
      taken[#taken + 1] = at
      out[#out + 1] = ('<text class="name %s" x="%.1f" y="%.1f">%s</text>'):format(s.class or "", x(s.x[last]) + 7, at + 4, escape(s.name))
    end
  end
  out[#out + 1] = "</svg>"
  return table.concat(out, "\n")
end

-- Shares with their confidence intervals: rows of { label, rate, lo, hi, note = text, class }, all of 0 to 1.
-- most: the share at the right end, 1 unless given.
function svg.rates(rows, o)
  o = o or {}
  local width, row, left, right = 640, 26, 150, 170
  local most, room = o.most or 1, width - left - right
  local function x(v) return left + room * math.max(0, math.min(1, v / most)) end
  local out = { ('<svg class="chart" viewBox="0 0 %d %d" role="img">'):format(width, #rows * row + 24) }
  for i, r in ipairs(rows) do
    local y = (i - 1) * row + 2
    out[#out + 1] = ('<text x="%d" y="%d" text-anchor="end">%s</text>'):format(left - 8, y + 16, escape(r[1]))
    out[#out + 1] = ('<rect class="ground" x="%d" y="%d" width="%d" height="18" rx="3"/>'):format(left, y + 3, room)
    out[#out + 1] = ('<rect class="bar %s" x="%d" y="%d" width="%.1f" height="18" rx="3"/>'):format(r.class or "", left, y + 3, x(r[2]) - left)
    if r.lo and r.hi then
      out[#out + 1] = ('<path class="whisker" d="M%.1f %dH%.1fM%.1f %dv10M%.1f %dv10"/>'):format(
        x(r.lo), y + 12, x(r.hi), x(r.lo), y + 7, x(r.hi), y + 7)
    end
    out[#out + 1] = ('<text class="note" x="%d" y="%d">%s</text>'):format(width - right + 10, y + 16, escape(r.note or ""))
  end
  local y = #rows * row + 18
  for _, v in ipairs(ticks(0, most, 4)) do
    out[#out + 1] = ('<text class="note" x="%.1f" y="%d" text-anchor="middle">%.4g %%</text>'):format(x(v), y, 100 * v)
  end
  out[#out + 1] = "</svg>"
  return table.concat(out, "\n")
end

-- What happened when: rows of { label, to = seconds, good = bool, spans = { { from, to, class, title } }, marks = { { at, class, title } } }.
function svg.timeline(rows)
  local width, row, left, right, last = 960, 22, 170, 64, 0
  for _, r in ipairs(rows) do last = math.max(last, r.to) end
  if last <= 0 then return "" end
  local room = width - left - right
  local function x(t) return left + room * t / last end
  local out = { ('<svg class="chart wide" viewBox="0 0 %d %d" role="img">'):format(width, #rows * row + 26) }
  for i, r in ipairs(rows) do
    local y = (i - 1) * row + 4
    out[#out + 1] = ('<text x="%d" y="%d" text-anchor="end">%s</text>'):format(left - 8, y + 12, escape(r[1]))
    out[#out + 1] = ('<rect class="ground" x="%d" y="%d" width="%.1f" height="10" rx="5"/>'):format(left, y + 3, x(r.to) - left)
    for _, s in ipairs(r.spans or {}) do -- a span of one tick is still seen
      out[#out + 1] = ('<rect class="%s" x="%.1f" y="%d" width="%.1f" height="14" rx="1"><title>%s</title></rect>'):format(
        s[3], x(s[1]), y + 1, math.max(1.5, x(math.min(s[2], r.to)) - x(s[1])), escape(s[4] or ""))
    end
    for _, m in ipairs(r.marks or {}) do
      out[#out + 1] = ('<path class="%s" d="M%.1f %dl4.5 8h-9z"><title>%s</title></path>'):format(m[2], x(m[1]), y + 4, escape(m[3] or ""))
    end
    out[#out + 1] = ('<text class="%s" x="%.1f" y="%d">%s</text>'):format(r.good and "good" or "bad", x(r.to) + 6, y + 12, r.good and "\u{2713}" or "\u{2717}")
  end
  local y = #rows * row + 18
  for _, t in ipairs(ticks(0, last, 10)) do
    out[#out + 1] = ('<text class="note" x="%.1f" y="%d" text-anchor="middle">%s</text>'):format(x(t), y, svg.number(t))
  end
  out[#out + 1] = ('<text class="note" x="%d" y="%d">s</text></svg>'):format(width - right + 22, y)
  return table.concat(out, "\n")
end

-- Durations: bins of { from, to, n } in one unit, both axes logarithmic, since a tail is what matters. o: unit, title,
-- marks = { { value, name } }, limit = { value, name }.
function svg.durations(bins, o)
  if #bins == 0 then return "" end
  local low, high, most = math.huge, 0, 0
  -- columns of equal width on the logarithmic axis, 12 to a factor of ten
  local columns = {}
  local function column(v) return math.floor(12 * math.log(math.max(v, 1e-9), 10)) end
  for _, b in ipairs(bins) do
    local k = column((b[1] + b[2]) / 2)
    columns[k] = (columns[k] or 0) + b[3]
  end
  for k, n in pairs(columns) do
    low, high, most = math.min(low, 10 ^ (k / 12)), math.max(high, 10 ^ ((k + 1) / 12)), math.max(most, n)
  end
  for _, m in ipairs(o.marks or {}) do if m[1] > 0 then low, high = math.min(low, m[1]), math.max(high, m[1]) end end
  if o.limit then high = math.max(high, 1.25 * o.limit[1]) end
  local x, y, out, floor = plot { x0 = low, x1 = high, y0 = 0.8, y1 = math.max(most, 8) ^ 1.35, log_x = true, log_y = true, width = o.width or 460,
    height = o.height or 210, right = 20, x_label = o.unit, y_label = o.title }
  for k, n in pairs(columns) do
    local from, to = x(10 ^ (k / 12)), x(10 ^ ((k + 1) / 12))
    out[#out + 1] = ('<rect class="bar" x="%.1f" y="%.1f" width="%.1f" height="%.1f"><title>%d</title></rect>'):format(
      from + 0.5, y(n), math.max(1, to - from - 1), floor - y(n), n)
  end
  local at = {}
  for _, m in ipairs(o.marks or {}) do
    if m[1] > 0 then
      local place, line = x(m[1]), 0
      while at[line] and place - at[line] < 58 do line = line + 1 end
      at[line] = place
      local end_ = place > (o.width or 460) - 80
      out[#out + 1] = ('<line class="mark" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/><text class="note" x="%.1f" y="%d"%s>%s</text>'):format(
        place, place, 18 + 12 * line, floor, place + (end_ and -3 or 3), 26 + 12 * line, end_ and ' text-anchor="end"' or "", escape(m[2]))
    end
  end
  if o.limit then
    out[#out + 1] = ('<line class="limit" x1="%.1f" x2="%.1f" y1="14" y2="%d"/><text class="bad note" x="%.1f" y="%d" text-anchor="end">%s</text>'):format(
      x(o.limit[1]), x(o.limit[1]), floor, x(o.limit[1]) - 4, floor - 6, escape(o.limit[2]))
  end
  out[#out + 1] = "</svg>"
  return table.concat(out, "\n")
end

-- Nodes on a circle in the order given, lines for what is between them: names = {...}, relations = { { name, from, to } }
-- with 1-based places. class_of(name) colours a relation. What is related to nothing is pale.
function svg.scene(names, relations, class_of, o)
  o = o or {}
  local w, h, long = o.width or 200, o.height or 170, 0
  for _, name in ipairs(names) do long = math.max(long, utf8.len(name) or #name) end
  local cx, cy, rx, ry = w / 2, h / 2, math.max(24, w / 2 - 11 - 5 * long), h / 2 - 20
  local out = { ('<svg class="scene" viewBox="0 0 %d %d" role="img">'):format(w, h) }
  local place, busy = {}, {}
  for i = 1, #names do
    local turn = 2 * math.pi * (i - 1) / #names - math.pi / 2
    place[i] = { cx + rx * math.cos(turn), cy + ry * math.sin(turn), math.cos(turn), math.sin(turn) }
  end
  local between = {}
  for _, r in ipairs(relations) do
    local a, b = place[r[2]], place[r[3]]
    if a and b and r[2] ~= r[3] then
      busy[r[2]], busy[r[3]] = true, true
      local key = math.min(r[2], r[3]) * 4096 + math.max(r[2], r[3])
      between[key] = (between[key] or 0) + 1
      local bend = 5 * (between[key] - 1) -- relations of one pair lie side by side
      local dx, dy = b[1] - a[1], b[2] - a[2]
      local long = math.max(1e-6, math.sqrt(dx * dx + dy * dy))
      out[#out + 1] = ('<path class="tie %s" d="M%.1f %.1fQ%.1f %.1f %.1f %.1f"><title>%s %s %s</title></path>'):format(class_of(r[1]),
        a[1], a[2], (a[1] + b[1]) / 2 - dy / long * bend * 2, (a[2] + b[2]) / 2 + dx / long * bend * 2, b[1], b[2],
        escape(names[r[2]]), escape(r[1]), escape(names[r[3]]))
    end
  end
  for i, name in ipairs(names) do
    local p = place[i]
    local anchor = p[3] > 0.1 and "start" or p[3] < -0.1 and "end" or "middle"
    local away = anchor == "middle" and 0 or (p[3] > 0 and 6 or -6)
    out[#out + 1] = ('<circle class="%s" cx="%.1f" cy="%.1f" r="3"/><text class="%s" x="%.1f" y="%.1f" text-anchor="%s">%s</text>'):format(
      busy[i] and "node" or "node pale", p[1], p[2], busy[i] and "" or "pale", p[1] + away,
      p[2] + (anchor == "middle" and (p[4] > 0 and 13 or -7) or 3), anchor, escape(name))
  end
  out[#out + 1] = "</svg>"
  return table.concat(out, "\n")
end

return svg
