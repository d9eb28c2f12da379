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
  if a >= 1e5 or a < 1e-3 then return string.format("%.2e", v) end
  if a >= 100 then return string.format("%.0f", v) end
  if a >= 10 then return string.format("%.1f", v) end
  return string.format("%.3g", v)
end

-- Horizontal bars: rows of { label, value, of = total, note = text }. The bar is value / of.
function svg.bars(rows, width)
  width = width or 520
  local row, left, right = 24, 150, 120
  local out = { ('<svg class="chart" viewBox="0 0 %d %d" role="img">'):format(width, #rows * row + 4) }
  local most = 0
  for _, r in ipairs(rows) do most = math.max(most, r.of or r[2]) end
  local room = width - left - right
  for i, r in ipairs(rows) do
    local y = (i - 1) * row + 2
    local full = most > 0 and room * (r.of or most) / most or 0
    local part = most > 0 and room * r[2] / most or 0
    out[#out + 1] = ('<text x="%d" y="%d" text-anchor="end">%s</text>'):format(left - 8, y + 15, escape(r[1]))
    if r.of then
      out[#out + 1] = ('<rect class="ground" x="%d" y="%d" width="%.1f" height="16" rx="3"/>'):format(left, y + 2, full)
    end
    out[#out + 1] = ('<rect class="bar" x="%d" y="%d" width="%.1f" height="16" rx="3"/>'):format(left, y + 2, part)
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

return svg
