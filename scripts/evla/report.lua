-- report.lua: one self-contained page about a run: what was made, what was thrown away, how it looks.
local evla, json, svg, page = require "evla", require "evla.json", require "evla.svg", require "evla.page"
local report = {}

local function lines_of(path)
  local out, f = {}, io.open(path, "rb")
  if not f then return out end
  for line in f:lines() do out[#out + 1] = json.decode(line) end
  f:close()
  return out
end

local function sorted_pairs(t)
  local names = {}
  for k in pairs(t) do names[#names + 1] = k end
  table.sort(names)
  local i = 0
  return function() i = i + 1 if names[i] ~= nil then return names[i], t[names[i]] end end
end

-- The first camera of a dataset: the name of its colour field.
local function camera_of(set)
  for _, f in ipairs(set.fields) do
    if f.name:find("^cameras/.*/rgb$") then return f.name, f.rate end
  end
end

-- Success per goal, as bars: kept of attempted.
local function goal_bars(episodes)
  local all, kept, rows = {}, {}, {}
  for _, e in ipairs(episodes) do
    local g = e.goal or "all"
    all[g] = (all[g] or 0) + 1
    if e.kept then kept[g] = (kept[g] or 0) + 1 end
  end
  for g, n in sorted_pairs(all) do
    rows[#rows + 1] = { g, kept[g] or 0, of = n, note = ("%d of %d"):format(kept[g] or 0, n) }
  end
  return svg.bars(rows)
end

local function reason_bars(discarded)
  local rows = {}
  for reason, n in sorted_pairs(discarded or {}) do rows[#rows + 1] = { reason, n } end
  return #rows > 0 and svg.bars(rows) or "<p>Nothing was discarded.</p>"
end

-- Histograms over the first sample of every position that the body observes, and where objects stood from above.
local function pose_charts(firsts)
  local out = {}
  for name, samples in sorted_pairs(firsts) do
    local first, short = samples[1], name:match("[^/]*$")
    if type(first[1]) == "table" then -- poses [N,7]: all objects from above
      local points = {}
      for _, rows in ipairs(samples) do
        for k, p in ipairs(rows) do points[#points + 1] = { p[1], p[2], class = k } end
      end
      out[#out + 1] = svg.plane(points, short .. " from above", "m")
    else
      for k = 1, math.min(3, #first) do
        local values, low, high = {}, math.huge, -math.huge
        for i, s in ipairs(samples) do values[i], low, high = s[k], math.min(low, s[k]), math.max(high, s[k]) end
        if high - low > 1e-4 then -- a tenth of a millimetre is no spread
          out[#out + 1] = svg.histogram(values, ("%s %s at the start"):format(short, ("xyz"):sub(k, k)), "m")
        end
      end
    end
  end
  return table.concat(out, "\n")
end

-- Reads every kept episode once: a thumbnail each, a film strip for the first of each goal, starting poses.
local function look(path, folder)
  local set = evla.records(path)
  local camera, rate = camera_of(set)
  local thumbs, strips, seen, firsts, positions = {}, {}, {}, {}, {}
  for _, f in ipairs(set.fields) do
    if f.name:find("pos[e]?$") and f.name:find("^obs/") and (f.unit or ""):find("^m") then positions[#positions + 1] = f.name end
  end
  for i = 1, #set do
    local rec = set:record(i)
    local seed, goal = rec.attrs.seed or i, rec.attrs.goal or "all"
    for _, name in ipairs(positions) do
      firsts[name] = firsts[name] or {}
      firsts[name][#firsts[name] + 1] = rec[name][1]:list()
    end
    if camera then
      local frames = rec[camera]
      local file = ("%s/thumb_%d.png"):format(folder, i)
      evla.image.png { data = frames[#frames], path = file }
      thumbs[seed] = file
      if not seen[goal] then
        seen[goal] = true
        local picks, captions = {}, {}
        for k = 1, 8 do
          picks[k] = 1 + math.floor((#frames - 1) * (k - 1) / 7 + 0.5)
          captions[k] = ("%.1f s"):format((picks[k] - 1) / rate)
        end
        local strip = ("%s/strip_%s.png"):format(folder, goal)
        evla.image.strip { frames = frames, picks = picks, captions = captions, scale = 1, path = strip }
        strips[#strips + 1] = { file = strip, goal = goal, text = rec.attrs.instruction or goal }
      end
    end
    rec = nil
    if i % 8 == 0 then collectgarbage() end
  end
  table.sort(strips, function(a, b) return a.goal < b.goal end)
  return thumbs, strips, firsts
end

local function pipeline_section(j, folder)
  local f, out = j.figures, {}
  local episodes = lines_of(j.result:match("^(.*)/[^/]*$") .. "/records.jsonl")
  if #episodes == 0 then return "" end
  local thumbs, strips, firsts = {}, {}, {}
  if j.result:find("%.hdf5$") then thumbs, strips, firsts = look(j.result, folder) end
  local function add(s) out[#out + 1] = s end
  if #strips > 0 then
    add("<h2>One episode of each goal</h2>")
    for _, s in ipairs(strips) do add(page.figure(page.png(s.file), ("%s: \u{201c}%s\u{201d}"):format(s.goal, s.text))) end
  end
  add("<h2>Kept, goal by goal</h2>" .. goal_bars(episodes))
  add("<h2>Why episodes were discarded</h2>" .. reason_bars(f.discarded))
  local seconds, rows = {}, {}
  for _, e in ipairs(episodes) do
    if e.kept and e.seconds then seconds[#seconds + 1] = e.seconds end
    local file = e.kept and thumbs[e.seed]
    rows[#rows + 1] = {
      e.index, { html = file and ('<img src="%s" alt="last frame">'):format(page.png(file)) or "" },
      e.goal or "", e.instruction or "", e.seconds or 0,
      { html = e.kept and '<span class="good">kept</span>' or ('<span class="bad">%s</span>'):format(svg.escape(e.reason)) },
      tostring(e.seed or ""),
    }
  end
  add('<h2>How long, and where things stood</h2><div class="grid">')
  add(svg.histogram(seconds, "duration of kept episodes", "s"))
  add(pose_charts(firsts))
  add("</div><h2>Every episode</h2>")
  add(page.table({ "episode", "", "goal", "instruction", "seconds", "", "seed" }, rows))
  return table.concat(out, "\n")
end

-- Writes the page for a summary.
function report.write(path, s)
  local body = { ("<h1>%s</h1>"):format(svg.escape(s.program)) }
  body[#body + 1] = ('<p class="lead">%s</p>'):format(svg.escape(require("evla.summary").line(s)))
  local cards = {}
  if s.episodes then
    cards[#cards + 1] = page.card(("%d"):format(s.kept), ("episodes kept of %d"):format(s.episodes))
    cards[#cards + 1] = page.card(("%.0f"):format(s.episodes_per_min), "kept per minute")
  end
  if s.dataset then cards[#cards + 1] = page.card(("%.1f MB"):format(s.dataset.bytes / 1e6), "dataset") end
  for _, j in ipairs(s.jobs) do
    cards[#cards + 1] = page.card(("%.1f s"):format(j.seconds), ("job %s, %s"):format(j.name, j.state))
  end
  body[#body + 1] = '<div class="cards">' .. table.concat(cards, "\n") .. "</div>"
  for _, j in ipairs(s.jobs) do
    if j.type == "pipeline" then
      local folder = j.result:match("^(.*)/[^/]*$") .. "/pictures"
      evla.make_folder(folder)
      body[#body + 1] = pipeline_section(j, folder)
    end
  end
  evla.write_file(path, page.whole("evla: " .. s.program, table.concat(body, "\n")))
end

return report
