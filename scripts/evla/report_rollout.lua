-- report_rollout.lua: what the report shows of rollouts: success, what the guard did, time, films.
local svg, page = require "evla.svg", require "evla.page"
local bytes = require("evla.report_learn").bytes
local rollout = {}

local MOST_ROWS = 24 -- of a timeline

local function sorted(t, by)
  local names = {}
  for k in pairs(t or {}) do names[#names + 1] = k end
  table.sort(names, by)
  return names
end

local function percent(x) return (x > 0 and x < 0.01 and "%.2f %%" or x > 0.995 and x < 1 and "%.1f %%" or "%.0f %%"):format(100 * x) end

-- "47 of 50, 84 to 99 %"
local function counted(k, n, ci)
  return ci and ("%d of %d, %.0f to %.0f %%"):format(k, n, 100 * ci.lo, 100 * ci.hi) or ("%d of %d"):format(k, n)
end

local function goals(f)
  local rows = {}
  for _, g in ipairs(sorted(f.per_goal)) do
    local r = f.per_goal[g]
    local ci = r.ci95 or {}
    rows[#rows + 1] = { g, r.success_rate, lo = ci.lo, hi = ci.hi, note = counted(r.successes, r.attempted, r.ci95) }
  end
  if #rows == 0 then return "" end
  if f.success_rate then
    local ci = f.ci95 or {}
    rows[#rows + 1] = { "all", f.success_rate, lo = ci.lo, hi = ci.hi, note = counted(f.successes, f.attempted, f.ci95), class = "good" }
  end
  return svg.rates(rows)
end

-- Episodes in which the guard acted or something unsafe happened: those with most to see first.
local function timeline(result)
  local list, rate = {}, result.rate_hz or 100
  for _, e in ipairs(result.episodes or {}) do
    local n = #(e.interventions or {})
    if n > 0 or (e.first_violation or -1) >= 0 then
      list[#list + 1] = { e = e, weight = n + ((e.first_violation or -1) >= 0 and 1e6 or 0) }
    end
  end
  table.sort(list, function(a, b) return a.weight > b.weight or a.weight == b.weight and a.e.index < b.e.index end)
  local rows = {}
  for i = 1, math.min(#list, MOST_ROWS) do
    local e = list[i].e
    local row = { ("%d  %s"):format(e.index, e.goal or ""), to = e.seconds or 0, good = e.success, spans = {}, marks = {} }
    for k, s in ipairs(e.interventions or {}) do
      row.spans[k] = { s.tick / rate, (s.tick + (s.ticks or 1)) / rate, s.kind == "veto" and "veto" or "replace",
        ("%.2f s, %d ticks: %s %s"):format(s.tick / rate, s.ticks or 1, s.rule or "", s.why or "") }
    end
    if (e.first_violation or -1) >= 0 then
      row.marks[1] = { e.first_violation / rate, "breach", ("%.2f s: %s"):format(e.first_violation / rate, table.concat(e.violations or {}, ", ")) }
    end
    rows[i] = row
  end
  if #rows == 0 then return "" end
  local has, lost = {}, 0
  for i = 1, #list do
    local e = list[i].e
    for _, s in ipairs(e.interventions or {}) do has[s.kind] = true end
    if (e.first_violation or -1) >= 0 then has.unsafe = true end
    if (e.interventions_lost or 0) > 0 then lost = lost + 1 end
  end
  local legend, acted = {}, has.veto or has.replace
  if has.veto then legend[1] = { "var(--bad)", "stopped" } end
  if has.replace then legend[#legend + 1] = { "var(--warm)", "replaced by a safe action" } end
  if has.unsafe then legend[#legend + 1] = { "var(--violet)", "first unsafe event, as the monitor saw it" } end
  local out = { ("<h3>%s</h3>"):format(acted and "When the guard stepped in" or "When it became unsafe"), page.legend(legend), svg.timeline(rows) }
  if #list > #rows then out[#out + 1] = ('<p class="say">The %d of %d episodes with most to see.</p>'):format(#rows, #list) end
  if lost > 0 then
    out[#out + 1] = ('<p class="say">In %d episode%s there was more than is kept: a row ends where its journal was full.</p>'):format(lost, lost == 1 and "" or "s")
  end
  return table.concat(out, "\n")
end

local function rules(f)
  local names, rows = sorted(f.interventions, function(a, b)
    local x, y = f.interventions[a], f.interventions[b]
    return x > y or x == y and a < b
  end), {}
  for i, name in ipairs(names) do rows[i] = { name, f.interventions[name], note = ("%d ticks"):format(f.interventions[name]) } end
  return #rows > 0 and svg.bars(rows, 640) or ""
end

local function events(f)
  local rows = {}
  for _, name in ipairs(sorted(f.events)) do
    rows[#rows + 1] = { name, f.events[name], of = (f.attempted or 0) + (f.cut_episodes or 0), note = ("%d episode%s"):format(f.events[name], f.events[name] == 1 and "" or "s") }
  end
  return #rows > 0 and svg.bars(rows, 640) or ""
end

-- ---- time ----

-- Ticks that were due: those skipped count as missed, so they count here.
local function due(f) return (f.control_ticks or 0) + (f.skipped or 0) end

local function histogram(bins, title, f, prefix, limit)
  if not bins or #bins == 0 then return "" end
  local us = {}
  for i, b in ipairs(bins) do us[i] = { b[1] / 1000, b[2] / 1000, b[3] } end
  local marks = {}
  for _, m in ipairs { { "p50_ms", "p50" }, { "p95_ms", "p95" }, { "p99_ms", "p99" }, { "max_ms", "max" } } do
    local v = f[prefix .. m[1]]
    if v then marks[#marks + 1] = { 1000 * v, ("%s %s"):format(m[2], svg.number(1000 * v)) } end
  end
  return svg.durations(us, { unit = "\u{b5}s", title = title, marks = marks, limit = limit })
end

local function clock(f, result)
  if not result.step_ns then return "" end
  local out = { "<h3>Time of a tick</h3>" }
  local period = result.rate_hz and 1e6 / result.rate_hz
  out[#out + 1] = ('<p class="say">%s. %s of %d ticks missed their time; scheduling %s%s. Counts are logarithmic: the tail is what matters.</p>'):format(
    result.rate_hz and ("%g Hz on the wall clock, %.0f ms a tick"):format(result.rate_hz, period / 1000) or "On the wall clock",
    f.missed and (f.missed == 0 and "None" or ("%d"):format(f.missed)) or "?", due(f), svg.escape(f.scheduling or "?"),
    f.scheduling == "normal" and f.why_not_fifo and f.why_not_fifo ~= "" and (" (%s)"):format(svg.escape(f.why_not_fifo)) or "")
  out[#out + 1] = '<div class="grid">'
  out[#out + 1] = histogram(result.step_ns, "ticks, by what the step took", f, "", period and { period, "the period" })
  out[#out + 1] = histogram(result.jitter_ns, "ticks, by how late they began", f, "jitter_")
  out[#out + 1] = histogram(result.answer_ns, "answers beside the ticks, by how long they took", f, "answer_")
  out[#out + 1] = "</div>"
  return table.concat(out, "\n")
end

-- ---- films ----

-- A class of the page's palette for each relation, by its place in all films of a job.
local function colours(films)
  local seen, names = {}, {}
  for _, film in ipairs(films) do
    for _, fr in ipairs(film.frames or {}) do
      for _, r in ipairs(fr.scene and fr.scene.relations or {}) do
        if not seen[r[1]] then
          seen[r[1]] = true
          names[#names + 1] = r[1]
        end
      end
    end
  end
  table.sort(names)
  local class = {}
  for i, name in ipairs(names) do class[name] = ("r%d"):format((i - 1) % 8) end
  return class, names
end

local palette = { "#3d7a8c", "#c9622f", "#7d5ba6", "#3f8f4f", "#b08a1e", "#a83e6b", "#4a67b5", "#6b6b6b" }

-- Nodes that have a relation in some frame of the film, in their own order: the others would only be in the way.
local function picture_of(scene, used, class)
  local names, place, relations, seen = {}, {}, {}, {}
  for i, n in ipairs(scene.nodes) do
    if used[n.name] then
      names[#names + 1] = n.name
      place[i - 1] = #names
    end
  end
  for _, r in ipairs(scene.relations or {}) do
    local a, b = place[r[2]], place[r[3]]
    if a and b then
      local key = ("%s/%d/%d"):format(r[1], math.min(a, b), math.max(a, b))
      if not seen[key] then relations[#relations + 1] = { r[1], a, b } end
      seen[key] = true
    end
  end
  return svg.scene(names, relations, function(name) return class[name] or "r7" end)
end

local titles = { success = "A success", veto = "The guard steps in", failure = "A failure", cut = "An episode that the clock cut" }

-- read(name) gives the picture's URI, or nil when it is not there.
local function film(x, class, read, legend)
  local used, out = {}, {}
  for _, fr in ipairs(x.frames or {}) do
    local scene = fr.scene
    for _, r in ipairs(scene and scene.relations or {}) do
      for k = 2, 3 do
        local node = scene.nodes[r[k] + 1]
        if node then used[node.name] = true end
      end
    end
  end
  out[1] = ("<h3>%s</h3><p class=\"say\">Episode %d: \u{201c}%s\u{201d}</p>%s<div class=\"film\">"):format(
    svg.escape(titles[x.why] or x.why or "An episode"), x.episode, svg.escape(x.instruction or ""), legend)
  for _, fr in ipairs(x.frames or {}) do
    local uri, v = fr.picture and read(fr.picture), fr.verdict or {}
    local kind = v.kind == "veto" and "veto" or v.kind == "replace" and "replace" or ""
    out[#out + 1] = ('<figure class="%s">'):format(kind)
    if uri then out[#out + 1] = ('<img src="%s" alt="%s">'):format(uri, ("%.2f s"):format(fr.seconds)) end
    if fr.scene and next(used) then out[#out + 1] = picture_of(fr.scene, used, class) end
    out[#out + 1] = ("<figcaption>%.2f s%s</figcaption></figure>"):format(fr.seconds, kind ~= ""
      and (' <span class="%s" title="%s">%s: %s</span>'):format(kind == "veto" and "bad" or "warm", svg.escape(v.why or ""), kind == "veto" and "stopped" or "replaced", svg.escape(v.rule or "")) or "")
  end
  out[#out + 1] = "</div>"
  return table.concat(out, "\n")
end

local function films(result, read)
  local list = result.films or {}
  if #list == 0 then return "" end
  local class, names = colours(list)
  local out, legend = {}, {}
  for i, name in ipairs(names) do legend[i] = { palette[(i - 1) % 8 + 1], name } end
  for i, x in ipairs(list) do
    out[#out + 1] = film(x, class, read, i == 1 and #legend > 0 and page.legend(legend) or "")
  end
  return table.concat(out, "\n")
end

-- ---- a rollout, and several ----

-- f: the job's figures; result: rollout.json; read: see film.
function rollout.section(f, result, read)
  local cards, out = {}, {}
  local function card(v, label) cards[#cards + 1] = page.card(v, label) end
  local ci = f.ci95
  local any = (f.attempted or 0) > 0
  if f.success_rate and any then
    card(percent(f.success_rate), ("success in %d episodes%s"):format(f.attempted,
      ci and (", 95 %% interval %.0f to %.0f %%"):format(100 * ci.lo, 100 * ci.hi) or ""))
  end
  if f.violation_rate and any then
    card(percent(f.violation_rate), ("unsafe episodes%s"):format(f.upper95 and (", at most %s (95 %%)"):format(percent(f.upper95)) or ""))
  end
  if f.intervention_episodes and any and f.guard ~= "" then card(("%d"):format(f.intervention_episodes), "episodes in which the guard acted") end
  if f.p99_ms then card(("%s ms"):format(svg.number(f.p99_ms)), "work of a tick; 99 of 100 take less") end
  if f.missed then card(("%d"):format(f.missed), ("missed of %d ticks"):format(due(f))) end
  if f.memory_bytes then card(bytes(f.memory_bytes), "memory of the loop") end
  out[#out + 1] = '<div class="cards">' .. table.concat(cards, "\n") .. "</div>"
  out[#out + 1] = films(result, read)
  local by_goal = goals(f)
  if by_goal ~= "" then
    out[#out + 1] = '<h3>Success, goal by goal</h3><p class="say">Whiskers: the exact 95 % interval (Clopper and Pearson).</p>' .. by_goal
  end
  out[#out + 1] = timeline(result)
  local which = rules(f)
  if which ~= "" then out[#out + 1] = "<h3>Rules that decided</h3>" .. which end
  local what = events(f)
  if what ~= "" then out[#out + 1] = "<h3>What the monitor saw</h3>" .. what end
  out[#out + 1] = clock(f, result)
  return table.concat(out, "\n")
end

-- Rollouts beside each other: list of { name, figures }.
function rollout.compare(list)
  local success, unsafe, most = {}, {}, 0.01
  for _, r in ipairs(list) do
    local f = r.figures
    if f.success_rate and f.attempted and f.attempted > 0 then
      local ci = f.ci95 or {}
      success[#success + 1] = { r.name, f.success_rate, lo = ci.lo, hi = ci.hi, note = counted(f.successes, f.attempted, f.ci95) }
      if f.violation_rate then
        if f.attempted >= 50 then most = math.max(most, f.violation_rate, f.upper95 or 0) end -- a few episodes tell little
        unsafe[#unsafe + 1] = { r.name, f.violation_rate, lo = f.violation_rate, hi = f.upper95, class = "bad",
          note = ("%d of %d%s"):format(f.violation_episodes, f.attempted, f.upper95 and (", at most %s"):format(percent(f.upper95)) or "") }
      end
    end
  end
  if #success < 2 then return "" end
  return "<h3>Success</h3>" .. svg.rates(success) .. (#unsafe > 1 and '<h3>Unsafe episodes</h3><p class="say">As an independent monitor '
    .. "of contacts, forces and limits counts them; the whisker ends at the exact 95 % upper bound.</p>" .. svg.rates(unsafe, { most = math.min(1, most * 1.15) }) or "")
end

return rollout
