-- page.lua: the frame of a self-contained HTML page: style, head, cards, tables. No script, no link.
local escape = require("evla.svg").escape
local page = {}

page.style = [[
:root { --ink: #1d2430; --soft: #5d6878; --line: #dfe4ea; --paper: #fbfbf9; --card: #fff; --bar: #3d7a8c;
        --ground: #eceff2; --good: #2f855a; --bad: #b3472f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --soft: #9aa6b5; --line: #2c3440;
        --paper: #14181e; --card: #1b212a; --bar: #5fb0c6; --ground: #262e39; --good: #68d391; --bad: #f09080; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 20px 80px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 36px 0 10px; }
p.lead { color: var(--soft); margin: 0 0 20px; }
.cards { display: flex; flex-wrap: wrap; gap: 12px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 12px 16px; min-width: 130px; }
.card b { display: block; font-size: 22px; } .card span { color: var(--soft); font-size: 13px; }
.grid { display: flex; flex-wrap: wrap; gap: 18px; }
svg.chart { width: 100%; max-width: 640px; height: auto; fill: var(--ink); font: 12px system-ui, sans-serif; }
svg.small { width: 220px; }
svg .note { fill: var(--soft); font-size: 11px; } svg .bar { fill: var(--bar); } svg .ground { fill: var(--ground); }
svg .axis { stroke: var(--line); } svg .dot { fill: var(--bar); fill-opacity: .75; }
svg .c1 { fill: #c9622f; } svg .c2 { fill: #7d5ba6; } svg .c3 { fill: #3f8f4f; } svg .c4 { fill: #b08a1e; }
svg .c5 { fill: #a83e6b; } svg .c6 { fill: #4a67b5; } svg .c7 { fill: #6b6b6b; }
figure { margin: 0 0 18px; } figure img { width: 100%; max-width: 1040px; border-radius: 6px; border: 1px solid var(--line); }
figcaption { color: var(--soft); font-size: 13px; }
table { border-collapse: collapse; width: 100%; font-size: 13px; } th { text-align: left; color: var(--soft); font-weight: 600; }
td, th { padding: 4px 10px 4px 0; border-bottom: 1px solid var(--line); vertical-align: middle; }
td.n { text-align: right; font-variant-numeric: tabular-nums; } td img { width: 56px; height: 56px; display: block; border-radius: 4px; }
.good { color: var(--good); } .bad { color: var(--bad); } .wide { overflow-x: auto; }
]]

local b64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

-- RFC 4648 section 4.
function page.base64(s)
  local out = {}
  for i = 1, #s, 3 do
    local a, b, c = s:byte(i, i + 2)
    local n = a << 16 | (b or 0) << 8 | (c or 0)
    local function digit(shift) local k = (n >> shift & 63) + 1 return b64:sub(k, k) end
    out[#out + 1] = digit(18) .. digit(12) .. (b and digit(6) or "=") .. (c and digit(0) or "=")
  end
  return table.concat(out)
end

-- The content of a PNG file as a URI that needs no file.
function page.png(path)
  local f <close> = assert(io.open(path, "rb"))
  return "data:image/png;base64," .. page.base64(f:read("a"))
end

function page.card(value, label)
  return ('<div class="card"><b>%s</b><span>%s</span></div>'):format(escape(value), escape(label))
end

function page.figure(src, caption, alt)
  return ('<figure><img src="%s" alt="%s"><figcaption>%s</figcaption></figure>'):format(
    src, escape(alt or caption), escape(caption))
end

-- head: list of titles; rows: lists of cells. A cell is text, a number, or { html = "..." }.
function page.table(head, rows)
  local out = { '<div class="wide"><table><tr>' }
  for _, h in ipairs(head) do out[#out + 1] = "<th>" .. escape(h) .. "</th>" end
  out[#out + 1] = "</tr>"
  for _, r in ipairs(rows) do
    out[#out + 1] = "<tr>"
    for i = 1, #head do
      local c = r[i]
      if type(c) == "table" then out[#out + 1] = "<td>" .. c.html .. "</td>"
      elseif type(c) == "number" then out[#out + 1] = '<td class="n">' .. require("evla.svg").number(c) .. "</td>"
      else out[#out + 1] = "<td>" .. escape(c or "") .. "</td>" end
    end
    out[#out + 1] = "</tr>"
  end
  out[#out + 1] = "</table></div>"
  return table.concat(out, "\n")
end

function page.whole(title, body)
  return table.concat({
    '<!doctype html><html lang="en"><head><meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    "<title>" .. escape(title) .. "</title><style>" .. page.style .. "</style></head><body><main>",
    body, "</main></body></html>\n" }, "\n")
end

return page
