-- page.lua: the frame of a self-contained HTML page: style, head, cards, tables. No script, no link.
local escape = require("evla.svg").escape
local page = {}

page.style = [[
:root { --ink: #1d2430; --soft: #5d6878; --line: #dfe4ea; --paper: #fbfbf9; --card: #fff; --bar: #3d7a8c;
        --ground: #eceff2; --good: #2f855a; --bad: #b3472f; --warm: #d08a2e; --violet: #7d5ba6; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --soft: #9aa6b5; --line: #2c3440;
        --paper: #14181e; --card: #1b212a; --bar: #5fb0c6; --ground: #262e39; --good: #68d391; --bad: #f09080; --warm: #e8b25e; --violet: #b79be0; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 20px 80px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 21px; margin: 52px 0 4px; padding-top: 18px; border-top: 1px solid var(--line); }
h3 { font-size: 16px; margin: 30px 0 8px; } h2 small { font-weight: 400; color: var(--soft); font-size: 14px; margin-left: 6px; }
p.say { color: var(--soft); margin: 0 0 14px; max-width: 76ch; } nav { margin: 18px 0 0; font-size: 14px; }
nav a { color: var(--bar); text-decoration: none; margin-right: 16px; white-space: nowrap; } nav a:hover { text-decoration: underline; }
p.lead { color: var(--soft); margin: 0 0 20px; }
.cards { display: flex; flex-wrap: wrap; gap: 12px; margin: 10px 0 14px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 12px 16px; min-width: 130px; }
.card b { display: block; font-size: 22px; } .card span { color: var(--soft); font-size: 13px; }
.grid { display: flex; flex-wrap: wrap; gap: 18px; } .grid svg.chart { flex: 1 1 360px; } .grid svg.small { flex: 0 0 220px; }
svg.chart { width: 100%; max-width: 640px; height: auto; fill: var(--ink); font: 12px system-ui, sans-serif; }
svg.small { width: 220px; }
svg .note { fill: var(--soft); font-size: 11px; } svg .bar { fill: var(--bar); } svg .ground { fill: var(--ground); }
svg .axis { stroke: var(--line); } svg .dot { fill: var(--bar); fill-opacity: .75; }
svg .c1 { fill: #c9622f; } svg .c2 { fill: #7d5ba6; } svg .c3 { fill: #3f8f4f; } svg .c4 { fill: #b08a1e; }
svg.wide { max-width: 1040px; }
svg .grid { stroke: var(--line); stroke-width: .7; } svg .line { fill: none; stroke: var(--bar); stroke-width: 1.6; stroke-linejoin: round; }
svg .line.pale { stroke: var(--bar); stroke-opacity: .45; stroke-width: 1.1; } svg .line.warm { stroke: var(--warm); stroke-width: 2; }
svg .dot.warm, svg .bar.warm, svg .name.warm { fill: var(--warm); } svg .name { font-size: 12px; fill: var(--bar); }
svg .bar.good { fill: var(--good); } svg .bar.bad { fill: var(--bad); } svg .whisker { stroke: var(--ink); stroke-width: 1.4; fill: none; }
svg .veto { fill: var(--bad); } svg .replace { fill: var(--warm); } svg .breach { fill: var(--violet); }
svg .mark { stroke: var(--soft); stroke-width: .8; stroke-dasharray: 2 2; } svg .limit { stroke: var(--bad); stroke-width: 1.2; }
svg text.good { fill: var(--good); } svg text.bad { fill: var(--bad); }
svg.scene { width: 100%; height: auto; font: 9.5px system-ui, sans-serif; fill: var(--ink); } svg.scene text.pale { fill: var(--soft); fill-opacity: .6; }
svg.scene .node { fill: var(--ink); } svg.scene .node.pale { fill: var(--line); }
svg .tie { fill: none; stroke: var(--soft); stroke-width: 1.8; }
svg .r0 { stroke: #3d7a8c; } svg .r1 { stroke: #c9622f; } svg .r2 { stroke: #7d5ba6; } svg .r3 { stroke: #3f8f4f; }
svg .r4 { stroke: #b08a1e; } svg .r5 { stroke: #a83e6b; } svg .r6 { stroke: #4a67b5; } svg .r7 { stroke: #6b6b6b; }
.film { display: grid; grid-template-columns: repeat(auto-fill, minmax(185px, 1fr)); gap: 10px 8px; margin: 0 0 6px; }
.film figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 6px; overflow: hidden; }
.film figure img { width: 100%; display: block; border: 0; border-radius: 0; image-rendering: pixelated; } .film figcaption { padding: 3px 8px 5px; }
.film figure.veto { border-color: var(--bad); } .film figure.replace { border-color: var(--warm); }
.legend { color: var(--soft); font-size: 13px; margin: 0 0 12px; } .legend span { margin-right: 14px; white-space: nowrap; }
.legend i { display: inline-block; width: 14px; height: 4px; border-radius: 2px; margin-right: 5px; vertical-align: middle; }
details { margin: 14px 0; } summary { cursor: pointer; color: var(--bar); } details > img { width: 100%; margin-top: 8px; }
img.plate { background: #fff; border: 1px solid var(--line); border-radius: 6px; max-width: 100%; }
svg .c5 { fill: #a83e6b; } svg .c6 { fill: #4a67b5; } svg .c7 { fill: #6b6b6b; }
figure { margin: 0 0 18px; } figure img { width: 100%; max-width: 1040px; border-radius: 6px; border: 1px solid var(--line); }
figcaption { color: var(--soft); font-size: 13px; }
table { border-collapse: collapse; width: 100%; font-size: 13px; } th { text-align: left; color: var(--soft); font-weight: 600; }
td, th { padding: 4px 10px 4px 0; border-bottom: 1px solid var(--line); vertical-align: middle; }
td.n { text-align: right; font-variant-numeric: tabular-nums; } td img { width: 56px; height: 56px; display: block; border-radius: 4px; }
.soft { color: var(--soft); } .good { color: var(--good); } .bad { color: var(--bad); } .warm { color: var(--warm); } .wide { overflow-x: auto; }
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

-- A picture in SVG as a URI: its styles do not meet the page's.
function page.svg(text)
  return "data:image/svg+xml;base64," .. page.base64(text)
end

-- A heading of a job, which the list at the top leads to.
function page.section(id, title, kind)
  return ('<h2 id="%s">%s <small>%s</small></h2>'):format(escape(id), escape(title), escape(kind or ""))
end

-- rows: lists of { colour or class, text }.
function page.legend(rows)
  local out = { '<p class="legend">' }
  for _, r in ipairs(rows) do
    out[#out + 1] = ('<span><i style="background:%s"></i>%s</span>'):format(r[1], escape(r[2]))
  end
  return table.concat(out) .. "</p>"
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
