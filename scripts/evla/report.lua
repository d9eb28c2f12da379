-- report.lua: one self-contained page about a run: what was made, what was thrown away, how it looks.
local evla, files, json, svg, page = require "evla", require "evla.files", require "evla.json", require "evla.svg", require "evla.page"
local learn, rollout = require "evla.report_learn", require "evla.report_rollout"
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
    add("<h3>One episode of each goal</h3>")
    for _, s in ipairs(strips) do add(page.figure(page.png(s.file), ("%s: \u{201c}%s\u{201d}"):format(s.goal, s.text))) end
  end
  add("<h3>Kept, goal by goal</h3>" .. goal_bars(episodes))
  add("<h3>Why episodes were discarded</h3>" .. reason_bars(f.discarded))
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
  add('<h3>How long, and where things stood</h3><div class="grid">')
  add(svg.histogram(seconds, "duration of kept episodes", "s"))
  add(pose_charts(firsts))
  add("</div>")
  add(("<details%s><summary>every episode</summary>"):format(#rows <= 30 and " open" or ""))
  add(page.table({ "episode", "", "goal", "instruction", "seconds", "", "seed" }, rows) .. "</details>")
  return table.concat(out, "\n")
end

-- ---- the page ----

local function json_of(path)
  local text = files.read(path)
  if not text then return nil end
  local fine, v = pcall(json.decode, text)
  return fine and type(v) == "table" and v or nil
end

local function folder_of(j) return j.result:match("^(.*)/[^/]*$") end

-- Pictures that a job left in its folder, folded away.
local function plates(j, endings)
  local out, text = {}, nil
  for _, e in ipairs(endings) do
    text = files.read(folder_of(j) .. "/" .. e[1])
    if text then out[#out + 1] = ('<details><summary>%s</summary><img class="plate" src="%s" alt="%s"></details>'):format(
      svg.escape(e[2]), page.svg(text), svg.escape(e[2])) end
  end
  return table.concat(out, "\n")
end

-- The arenas of a model's graphs, those that a step runs; the others folded away.
local function arenas(path, step_graphs)
  local fine, list = pcall(evla.arenas, path)
  if not fine then return "" end
  local first, rest, is_step = {}, {}, nil
  for _, name in ipairs(step_graphs or {}) do
    is_step = is_step or {}
    is_step[name] = true
  end
  for _, a in ipairs(list) do
    local picture = ('<img class="plate" src="%s" alt="arena of graph %s">'):format(page.svg(a.svg), svg.escape(a.graph))
    if not is_step or is_step[a.graph] then first[#first + 1] = picture
    else rest[#rest + 1] = ("<details><summary>arena of graph %s</summary>%s</details>"):format(svg.escape(a.graph), picture) end
  end
  if #first + #rest == 0 then return "" end
  return '<h3>Who has which bytes when</h3><p class="say">Time from left to right, addresses upwards; the dashed line is the lower bound.</p>'
    .. table.concat(first, "\n") .. table.concat(rest, "\n")
end

-- What is known of a job beside its figures, as HTML; nil: nothing worth a section. is_first: of its type.
local section = {}

function section.pipeline(j, is_first)
  if is_first then
    local folder = folder_of(j) .. "/pictures"
    evla.make_folder(folder)
    return pipeline_section(j, folder)
  end
  local f = j.figures
  return ('<p class="say">%d of %d episodes kept.</p>'):format(f.kept, f.attempted) .. reason_bars(f.discarded)
end

function section.train(j) return learn.training(j.figures, json_of(folder_of(j) .. "/curve.json")) end

function section.recipe(j)
  local card = json_of(folder_of(j) .. "/scorecard.json") or j.figures
  local list = {}
  for _, g in ipairs(card.step_graphs or {}) do
    list[#list + 1] = { g .. ".before.svg", ("graph %s before"):format(g) }
    list[#list + 1] = { g .. ".after.svg", ("graph %s after"):format(g) }
  end
  return learn.scorecard(card) .. plates(j, list) .. arenas(j.result, card.step_graphs)
end

function section.apply(j)
  local f = j.figures
  if not f.p50_us then return nil end
  local rows = {}
  for i, r in ipairs(f.profile or {}) do
    if i > 40 then break end
    rows[i] = { r.node, r.us, note = ("%s \u{b5}s, %s"):format(svg.number(r.us), r.kernel) }
  end
  return ('<div class="cards">%s\n%s\n%s</div>'):format(page.card(svg.number(f.p50_us) .. " \u{b5}s", ("a run, half of %d take less"):format(f.runs)),
    page.card(svg.number(f.p99_us) .. " \u{b5}s", "99 of 100 take less"),
    page.card(learn.bytes(f.arena_bytes), ("arena, %.3f of the lower bound"):format(f.arena_bytes / math.max(1, f.lower_bound_bytes))))
    .. (#rows > 0 and "<h3>Time, node by node</h3>" .. svg.bars(rows, 640) or "")
end

function section.model(j, _, s)
  for _, other in ipairs(s.jobs) do -- a recipe shows what is deployed
    if other.type == "recipe" and other.state ~= "waiting" or other.type == "train" then return nil end
  end
  return arenas(j.result)
end

function section.rollout(j)
  local folder = folder_of(j)
  return rollout.section(j.figures, json_of(j.result) or {}, function(name)
    local path = folder .. "/" .. name:match("[^/]*$")
    local text = files.read(path)
    return text and "data:image/png;base64," .. page.base64(text)
  end)
end

local kinds = { pipeline = "episodes", train = "training", recipe = "quantising", rollout = "acting", apply = "running a graph", model = "graphs" }

-- Writes the page for a summary.
function report.write(path, s)
  local body = { ("<h1>%s</h1>"):format(svg.escape(s.program)) }
  body[#body + 1] = ('<p class="lead">%s</p>'):format(svg.escape(require("evla.summary").line(s)))
  local cards, links, parts, rollouts, seen, rows = {}, {}, {}, {}, {}, {}
  local e, q, c = s.eval, s.quant, s.control
  if e and e.episodes > 0 then
    cards[#cards + 1] = page.card(("%.1f %%"):format(100 * e.success_rate), ("of %d episodes succeed"):format(e.episodes))
    cards[#cards + 1] = page.card(("%d"):format(e.violation_episodes), "unsafe episodes")
  end
  if q and q.bytes_int8 > 0 then cards[#cards + 1] = page.card(("%.1fx"):format(q.bytes_f32 / q.bytes_int8), "smaller than f32") end
  if c and c.ticks > 0 then
    cards[#cards + 1] = page.card(("%.2f ms"):format(c.p99_ms), ("p99 of a tick, %d of %d missed"):format(c.missed, c.ticks))
  end
  if s.episodes then
    cards[#cards + 1] = page.card(("%d"):format(s.kept), ("episodes kept of %d"):format(s.episodes))
    cards[#cards + 1] = page.card(("%.0f"):format(s.episodes_per_min), "kept per minute")
  end
  if s.dataset then cards[#cards + 1] = page.card(("%.1f MB"):format(s.dataset.bytes / 1e6), "dataset") end
  local seconds = 0
  for _, j in ipairs(s.jobs) do
    seconds = seconds + (j.seconds or 0)
    rows[#rows + 1] = { j.name, j.type, j.state, learn.seconds(j.seconds or 0) }
    local made = j.state == "done" or j.state == "skipped"
    local html = made and section[j.type] and section[j.type](j, not seen[j.type], s)
    seen[j.type] = seen[j.type] or made
    if html and html ~= "" then
      links[#links + 1] = ('<a href="#%s">%s</a>'):format(svg.escape(j.name), svg.escape(j.name))
      parts[#parts + 1] = page.section(j.name, j.name, kinds[j.type]) .. html
    end
    if made and j.type == "rollout" then rollouts[#rollouts + 1] = j end
  end
  cards[#cards + 1] = page.card(learn.seconds(seconds), ("%d job%s"):format(#s.jobs, #s.jobs == 1 and "" or "s"))
  body[#body + 1] = '<div class="cards">' .. table.concat(cards, "\n") .. "</div>"
  local beside = rollout.compare(rollouts)
  if beside ~= "" then
    table.insert(links, '<a href="#compared">side by side</a>')
    parts[#parts + 1] = page.section("compared", "Side by side", "all rollouts") .. beside
  end
  if #links > 1 then body[#body + 1] = "<nav>" .. table.concat(links, "\n") .. "</nav>" end
  for _, part in ipairs(parts) do body[#body + 1] = part end
  body[#body + 1] = "<details><summary>jobs</summary>" .. page.table({ "job", "type", "state", "took" }, rows) .. "</details>"
  evla.write_file(path, page.whole("evla: " .. s.program, table.concat(body, "\n")))
end

return report
