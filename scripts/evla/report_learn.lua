-- report_learn.lua: what the report shows of a training (the loss curve) and of a recipe (the scorecard).
local svg, page = require "evla.svg", require "evla.page"
local learn = {}

-- A number of bytes, seconds or a ratio for people.
function learn.bytes(n)
  for _, unit in ipairs { "B", "kB", "MB", "GB" } do
    if n < 1000 or unit == "GB" then return (unit == "B" and "%d %s" or n < 10 and "%.2f %s" or n < 100 and "%.1f %s" or "%.0f %s"):format(n, unit) end
    n = n / 1000
  end
end
local bytes = learn.bytes

function learn.seconds(s)
  if s < 1 then return ("%.0f ms"):format(1000 * s) end
  if s < 120 then return ("%.1f s"):format(s) end
  return ("%d min %02d s"):format(s // 60, math.floor(s % 60))
end

-- The curve of a training job: curve = { step = {...}, loss = {...}, lr = {...}, norm = {...}, valid = { step, loss } }.
function learn.curve(curve)
  local step = curve.step or {}
  if #step == 0 then return "<p class=\"say\">No step was taken.</p>" end
  local list = { { x = step, y = curve.loss, name = "training", class = "pale" } }
  local valid = curve.valid or {}
  if #(valid.step or {}) > 0 then
    list[#list + 1] = { x = valid.step, y = valid.loss, name = "held out", class = "warm", dots = #valid.step <= 60 }
  end
  local low = math.huge
  for _, s in ipairs(list) do for _, v in ipairs(s.y) do low = math.min(low, v) end end
  local out = { svg.lines(list, { x_label = "step", y_label = "loss" .. (low > 0 and " (logarithmic)" or ""), log_y = low > 0 }) }
  if curve.lr and #curve.lr == #step then
    out[#out + 1] = '<div class="grid">' .. svg.lines({ { x = step, y = curve.lr } },
      { x_label = "step", y_label = "learning rate", height = 150, width = 460 })
    if curve.norm and #curve.norm == #step then
      out[#out + 1] = svg.lines({ { x = step, y = curve.norm, class = "pale" } },
        { x_label = "step", y_label = "length of the gradient, before clipping", height = 150, width = 460 })
    end
    out[#out + 1] = "</div>"
  end
  return table.concat(out, "\n")
end

-- f: the job's figures.
function learn.training(f, curve)
  local cards, out = {}, {}
  local function card(v, label) cards[#cards + 1] = page.card(v, label) end
  if f.loss_first and f.loss_last then card(("%s \u{2192} %s"):format(svg.number(f.loss_first), svg.number(f.loss_last)), "loss, first to last") end
  if f.valid_loss then card(svg.number(f.valid_loss), "loss held out") end
  if f.steps then card(("%d"):format(f.steps), "steps" .. (f.batch and (" of %d rows"):format(f.batch) or "")) end
  if f.seconds then card(learn.seconds(f.seconds), "training") end
  if f.arena_bytes then card(bytes(f.arena_bytes), "arena of a step" .. (f.mallocs == 0 and ", no allocation in it" or "")) end
  out[1] = '<div class="cards">' .. table.concat(cards, "\n") .. "</div>"
  if curve then out[2] = "<h3>Loss</h3>" .. learn.curve(curve) end
  return table.concat(out, "\n")
end

-- ---- recipes ----

local MOST_BARS = 30

local function better_word(f) return f.metric_better == "higher" and "higher is better" or "lower is better" end

-- The change of the metric as a person says it; good when it is within what was allowed.
local function change(f)
  local a, b = f.metric_f32, f.metric_coded
  if not a or not b then return "not measured" end
  if f.metric == "output_error" then return ("%.2g %%"):format(100 * b) end
  if a == 0 then return ("%s \u{2192} %s"):format(svg.number(a), svg.number(b)) end
  return ("%+.2g %%"):format(100 * (b - a) / math.abs(a))
end

local function layers(list)
  local rows = {}
  for i, l in ipairs(list) do
    local coded = l.bytes_after and l.bytes_after ~= l.bytes_before
    local faster = l.us_f32 and l.us_codes and l.us_codes > 0 and l.us_f32 / l.us_codes
    rows[i] = {
      { html = ("<b>%s</b><br><span class=\"soft\">%s</span>"):format(svg.escape(l.weight), svg.escape(l.type or "")) },
      { html = coded and ('<span class="good">%s</span>'):format(svg.escape(type(l.quantiser) == "table" and l.quantiser.format or l.decision))
        or l.put_back and '<span class="bad">f32, put back</span>' or "f32" },
      l.bytes_before and bytes(l.bytes_before) or "", l.bytes_after and l.bytes_after ~= l.bytes_before and bytes(l.bytes_after) or "",
      l.error and ("%.2g %%"):format(100 * l.error) or "",
      l.metric_alone and svg.number(l.metric_alone) or "",
      l.us_f32 and ("%s \u{2192} %s \u{b5}s"):format(svg.number(l.us_f32), svg.number(l.us_codes or l.us_f32)) or "",
      faster and { html = ('<span class="%s">%.2f\u{d7}</span>'):format(faster >= 1 and "good" or "bad", faster) } or "",
      l.reason or "",
    }
  end
  return page.table({ "weight", "kept as", "bytes", "in codes", "error", "metric, alone", "time of a row", "", "why" }, rows)
end

-- Of a model that is called: what each phase takes before and after.
local function phases(list)
  local rows = {}
  for i, p in ipairs(list) do
    local faster = p.ms_f32 and p.ms_coded and p.ms_f32 / p.ms_coded
    rows[i] = {
      p.phase, p.times > 1 and ("%s, %d times"):format(p.graph, p.times) or p.graph,
      p.bytes_f32 > 0 and ("%s \u{2192} %s"):format(bytes(p.bytes_f32), bytes(p.bytes_coded)) or "none",
      faster and ("%s \u{2192} %s ms"):format(svg.number(p.ms_f32), svg.number(p.ms_coded)) or "",
      faster and { html = ('<span class="%s">%.2f\u{d7}</span>'):format(faster >= 1 and "good" or "bad", faster) } or "",
    }
  end
  return page.table({ "phase", "graph", "weights", "time, f32 \u{2192} codes", "" }, rows)
end

-- The stages of a call in order, those of one run of a graph together: the one that is most off stands for them.
local function stages(list)
  local rows, last = {}, nil
  for _, s in ipairs(list) do
    local key = s.phase .. s.run
    if key ~= last or (s.error or math.huge) > rows[#rows][2] then
      rows[key == last and #rows or #rows + 1] = { s.stage, s.error or math.huge,
        note = s.error and ("%.2g %%, at most %s of %s"):format(100 * s.error, svg.number(s.max_abs), svg.number(s.largest_f32)) or "no number" }
    end
    last = key
  end
  for _, r in ipairs(rows) do if r[2] == math.huge then r[2] = 1 end end
  return svg.bars(rows, 640)
end

-- card: scorecard.json, which the job's figures repeat.
function learn.scorecard(card)
  local out, cards = {}, {}
  local function add(v, label) cards[#cards + 1] = page.card(v, label) end
  if card.ratio then
    add(("%.2f\u{d7}"):format(card.ratio), ("smaller: %s \u{2192} %s"):format(bytes(card.bytes_f32), bytes(card.bytes_coded)))
  end
  add(change(card), ("%s%s, %s (at most %s worse)"):format(card.metric or "metric",
    card.metric_output and card.metric_output ~= "" and " of " .. card.metric_output or "", better_word(card), card.metric_worse_by or "?"))
  if card.speedup then
    add(("%.2f\u{d7}"):format(card.speedup), ("a whole step: %s \u{2192} %s \u{b5}s"):format(svg.number(card.step_f32_us), svg.number(card.step_coded_us)))
  end
  if card.weights then add(("%d of %d"):format(card.weights_in_codes, card.weights), ("weights in codes, %d put back"):format(card.weights_put_back or 0)) end
  out[#out + 1] = '<div class="cards">' .. table.concat(cards, "\n") .. "</div>"
  if card.metric_f32 and card.metric_coded then
    local unit = card.metric_unit and card.metric_unit ~= "" and " " .. card.metric_unit or ""
    out[#out + 1] = ('<p class="say">%s over %s%s: f32 %s%s, delivered %s%s%s; allowed up to %s%s.</p>'):format(
      svg.escape(card.metric), card.metric_cases and ("%d case%s%s"):format(card.metric_cases, card.metric_cases == 1 and "" or "s",
        card.metric_drawn and " drawn by lot, which says nothing about a robot" or "") or ("%d rows"):format(card.metric_rows or 0), card.metric_mask and card.metric_mask ~= "" and (" of mask/%s"):format(svg.escape(card.metric_mask)) or "",
      svg.number(card.metric_f32), unit, svg.number(card.metric_coded), unit,
      card.metric_without_fallback and card.weights_put_back and card.weights_put_back > 0
        and (", %s%s before weights were put back"):format(svg.number(card.metric_without_fallback), unit) or "",
      card.metric_allowed and svg.number(card.metric_allowed) or "?", unit)
  end
  if card.phases and #card.phases > 0 then
    out[#out + 1] = "<h3>Phases of a call</h3>" .. phases(card.phases)
    out[#out + 1] = "<h3>Error against f32, stage by stage</h3>" .. stages(card.stages)
  end
  if card.layers and #card.layers > 0 then
    local rows = {}
    for i, l in ipairs(card.layers) do
      if l.bytes_before then rows[#rows + 1] = { l.weight, l.bytes_after or l.bytes_before, of = l.bytes_before,
        note = ("%s of %s"):format(bytes(l.bytes_after or l.bytes_before), bytes(l.bytes_before)) } end
    end
    local title = "Bytes, weight by weight"
    if #rows > MOST_BARS then
      table.sort(rows, function(a, b) return a.of > b.of end)
      title = ("Bytes of the %d largest of %d weights"):format(MOST_BARS, #rows)
      rows = table.move(rows, 1, MOST_BARS, 1, {})
    end
    out[#out + 1] = ("<h3>%s</h3>"):format(title) .. svg.bars(rows, 640)
    out[#out + 1] = "<h3>Scorecard</h3>" .. layers(card.layers)
  end
  return table.concat(out, "\n")
end

return learn
