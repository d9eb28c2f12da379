-- summary.lua: what a run comes to, as one flat table for summary.json (schemas/summary.json gives the units).
local summary = { here = nil }

-- A sanitizer's program does not count allocations.
local function counted(n) return n < 0 and "uncounted" or ("%d"):format(n) end

-- A path as a person in the current folder would write it.
local function short(path)
  local here = summary.here and summary.here .. "/"
  return here and path:sub(1, #here) == here and path:sub(#here + 1) or path
end
summary.short = short

local function percent(x) return ("%.4g %%"):format(100 * x) end

-- The blocks of the summary, each from the jobs that have something to say about it.
local block = {}

function block.pipeline(out, f, j)
  if out.episodes or not f.attempted then return end
  out.episodes, out.kept, out.discarded = f.attempted, f.kept, f.discarded
  out.episodes_per_min = f.run_seconds > 0 and 60 * f.kept / f.run_seconds or 0
  for _, figures in pairs(f) do
    if type(figures) == "table" and figures.bytes then out.dataset = { path = j.result, bytes = figures.bytes } end
  end
end

-- Rounds of one learning: steps and seconds add up, the loss goes from the first round's first to the last one's last.
function block.train(out, f)
  if not f.steps then return end
  local t = out.train or { steps = 0, seconds = 0, loss_first = f.loss_first }
  t.steps, t.seconds, t.loss_last, t.arena_bytes = t.steps + f.steps, t.seconds + f.seconds, f.loss_last, f.arena_bytes
  out.train = t
end

-- The schema says int8 where the core, which knows no quantiser's name, says coded.
function block.recipe(out, f)
  if not f.bytes_f32 then return end
  out.quant = {
    bytes_f32 = f.bytes_f32, bytes_int8 = f.bytes_coded, metric = f.metric,
    metric_f32 = f.metric_f32, metric_int8 = f.metric_coded, speedup = f.speedup,
  }
end

-- Rollouts of models: the guarded one on the virtual clock is what is deployed, the others are held against it.
local function evaluation(out, rollouts, recipes)
  local eval
  for _, f in ipairs(rollouts) do
    if f.guard ~= "" and f.clock == "virtual" and f.instructions == "own" and not eval then
      eval = {
        episodes = f.attempted, success_rate = f.success_rate, ci95 = { f.ci95.lo, f.ci95.hi },
        violation_episodes = f.violation_episodes, violation_rate_guarded = f.violation_rate, interventions = f.intervention_ticks,
      }
    end
  end
  if not eval then return end
  for _, f in ipairs(rollouts) do
    if f.clock == "virtual" and f.guard == "" then
      if f.instructions == "shuffled" then eval.success_rate_shuffled = f.success_rate
      elseif recipes[f.model] then eval.success_rate_int8, eval.violation_rate_unguarded = f.success_rate, f.violation_rate
      else eval.success_rate_f32 = f.success_rate end
    end
  end
  out.eval = eval
end

local function deployment(out, rollouts)
  for _, f in ipairs(rollouts) do
    if f.clock == "wall" then
      out.control = {
        rate_hz = f.rate_hz, scheduling = f.scheduling, p50_ms = f.p50_ms, p95_ms = f.p95_ms, p99_ms = f.p99_ms,
        max_ms = f.max_ms, missed = f.missed, ticks = f.control_ticks + f.skipped,
      }
      out.memory.arena_bytes, out.memory.lower_bound_bytes = f.arena_bytes, f.lower_bound_bytes
      out.memory.mallocs_in_loop = f.mallocs >= 0 and f.mallocs or nil -- below: nobody counted
    end
  end
end

-- jobs: list of { name, type, state, seconds, seed, figures, result } as the core reports them.
function summary.of(program, jobs, extra)
  local out, rollouts, recipes, seeds = { program = program, jobs = jobs, memory = {} }, {}, {}, {}
  for k, v in pairs(extra or {}) do out[k] = v end
  for _, j in ipairs(jobs) do
    local f = j.figures
    if block[j.type] then block[j.type](out, f, j) end
    if j.type == "rollout" and f.policy == "model" then rollouts[#rollouts + 1] = f end
    recipes[j.name] = j.type == "recipe"
    if j.seed and next(f) then seeds[j.name] = j.seed end
  end
  evaluation(out, rollouts, recipes)
  deployment(out, rollouts)
  if next(seeds) then out.seeds = seeds end
  if not next(out.memory) then out.memory = nil end
  return out
end

-- One line that a person can quote.
function summary.line(s)
  local parts, e = {}, s.eval
  if e and e.episodes > 0 then
    parts[#parts + 1] = ("%s succeed (%d episodes, 95 %%: %.0f to %.0f %%)"):format(percent(e.success_rate), e.episodes, 100 * e.ci95[1], 100 * e.ci95[2])
    parts[#parts + 1] = ("%d unsafe"):format(e.violation_episodes)
    if s.quant then parts[#parts + 1] = ("int8 %.1fx smaller and %.1fx as fast"):format(s.quant.bytes_f32 / s.quant.bytes_int8, s.quant.speedup) end
    if s.control then parts[#parts + 1] = ("%d of %d ticks missed at %g Hz"):format(s.control.missed, s.control.ticks, s.control.rate_hz) end
  elseif s.episodes then
    parts[1] = ("%d of %d episodes kept, %.0f per minute"):format(s.kept, s.episodes, s.episodes_per_min)
    if s.dataset then parts[2] = ("%.1f MB in %s"):format(s.dataset.bytes / 1e6, short(s.dataset.path)) end
  else
    local done = 0
    for _, j in ipairs(s.jobs) do if j.state == "done" or j.state == "skipped" then done = done + 1 end end
    parts[1] = ("%d of %d jobs done"):format(done, #s.jobs)
  end
  return ("%s: %s"):format(s.program, table.concat(parts, ", "))
end

local WHY = { ["end"] = "the model ended it", stop = "a stop text came", length = "there were enough", hearer = "nobody listened" }

-- A number for a column; what JSON has no number for came as a word, "nan" or "-inf".
local function cell(v, width) return (type(v) == "number" and ("%%%d.6g"):format(width) or ("%%%ds"):format(width)):format(v) end

-- The rows of an output that was to be shown: all of a few, else the first ones, and where they are.
local function rows_of(shown, add)
  local names = {}
  for name in pairs(shown) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local o = shown[name]
    local width = math.max(1, o.shape[#o.shape] or 1)
    local n = #o.numbers // width
    local most = n <= 10 and n or 5
    for row = 1, most do
      local cells = {}
      for i = 1, width do cells[i] = cell(o.numbers[(row - 1) * width + i], 10) end
      add("  %-10s %s", row == 1 and name or "", table.concat(cells, " "))
    end
    add("  %-10s %s%s", "", n > most and ("... %d rows in all, in "):format(n) or "in ", short(o.path))
  end
end

-- What models and their runs came to, a few lines each.
function summary.details(s)
  local out = {}
  local function add(format, ...) out[#out + 1] = format:format(...) end
  for _, j in ipairs(s.jobs) do
    local f = j.figures
    if j.type == "model" and f.parameters then -- a job that was not wanted has no figures
      add("%s: %d parameters in %d weights, %.1f kB in %s", j.name, f.parameters, f.weights, f.bytes / 1e3, short(j.result))
    elseif j.type == "train" and f.steps then
      add("%s: %d steps of %d rows in %.1f s, loss %.4g to %.4g%s", j.name, f.steps, f.step_rows, f.seconds, f.loss_first, f.loss_last,
        f.valid_loss and (", valid %.4g"):format(f.valid_loss) or "")
      add("  memory  %.1f kB arena, lower bound %.1f kB; %.1f kB with states", f.arena_bytes / 1e3, f.lower_bound_bytes / 1e3, f.session_bytes / 1e3)
      add("  time    %.0f steps/s, %.0f rows/s, %.0f %% inside the plan", f.steps_per_second, f.rows_per_second, 100 * f.plan_share)
    elseif j.type == "generate" and f.tokens then
      add("%s: %d tokens behind %d%s, until %s%s", j.name, f.tokens, f.prompt_tokens,
        f.recalled_tokens > 0 and (" (%d known)"):format(f.recalled_tokens) or "", WHY[f.why],
        f.dropped_tokens > 0 and ("; %d dropped from the cache"):format(f.dropped_tokens) or "")
      if f.total_ms then
        add("  phases  image %.1f ms, vit_encode %.1f ms, prefill %.1f ms, decode %.1f ms; together %.1f ms, %.2f Hz", f.image_ms, f.vit_encode_ms,
          f.prefill_ms, f.decode_ms, f.total_ms, 1e3 / f.total_ms)
        add("  sees    %.1f MB weights", f.vision_bytes / 1e6)
      end
      if f.action then
        local numbers = {}
        for i, x in ipairs(f.action) do numbers[i] = cell(x, 0) end
        add("  action  %s", table.concat(numbers, ", "))
      end
      add("  prompt  %.1f ms, %.1f tokens/s; first token after %.1f ms", f.prompt_ms, f.prompt_per_second, f.first_ms)
      add("  tokens  %.1f ms, %.1f tokens/s, %s allocations", f.tokens_ms, f.tokens_per_second, counted(f.mallocs))
      add("  memory  %.1f MB weights, %.1f MB keys and values, %.1f MB arena", f.weight_bytes / 1e6, f.pool_bytes / 1e6, f.arena_bytes / 1e6)
    elseif j.type == "call" and f.phases then
      add("%s: %.2f ms a call, %.1f Hz, %s allocations", j.name, f.ms, f.hz, counted(f.mallocs))
      for _, p in ipairs(f.phases) do
        add("  %-10s %8.2f ms  %3.0f %%  %s%s, %.0f GFLOP/s", p.phase, p.ms, 100 * p.ms / f.ms, p.graph,
          p.times > 1 and (" x %d"):format(p.times) or "", p.gflops)
      end
      add("  memory     %.1f MB: %.1f weights, %.1f arena, %.1f handed on", f.bytes / 1e6, f.weight_bytes / 1e6, f.arena_bytes / 1e6,
        (f.value_bytes + f.state_bytes) / 1e6)
      rows_of(f.shown or {}, add)
    elseif j.type == "export" and f.tensors then
      add("%s: %d tensors, %.1f kB in %s", j.name, f.tensors, f.bytes / 1e3, short(j.result))
    elseif j.type == "apply" and f.flops then
      add("%s: %d nodes (%d fused, %d folded, %d dead), %.0f kFLOP", j.name, f.nodes, f.fused, f.folded, f.dead, f.flops / 1e3)
      add("  memory  %.1f kB arena, lower bound %.1f kB", f.arena_bytes / 1e3, f.lower_bound_bytes / 1e3)
      add("  time    %.1f us p50, %.1f us p99", f.p50_us, f.p99_us)
      local names = {}
      for name in pairs(f.outputs) do names[#names + 1] = name end
      table.sort(names)
      for _, name in ipairs(names) do
        local o = f.outputs[name]
        if o.min then
          add("  %-7s %s in [%.4g, %.4g], mean %.4g", name, o.type, o.min, o.max, o.mean)
        else
          add("  %-7s %s", name, o.type)
        end
      end
    elseif j.type == "rollout" and f.clock == "virtual" and f.attempted then
      add("%s: %d of %d episodes succeed, %d unsafe%s", j.name, f.successes, f.attempted, f.violation_episodes,
        f.guard ~= "" and (", guard %s acted in %d of %d ticks"):format(f.guard, f.intervention_ticks, f.ticks) or "")
    elseif j.type == "rollout" and f.control_ticks then
      add("%s: %d ticks at %g Hz (%s), %d missed, work p50 %.3f p99 %.3f max %.3f ms, %s allocations", j.name, f.control_ticks,
        f.rate_hz, f.scheduling, f.missed, f.p50_ms, f.p99_ms, f.max_ms, counted(f.mallocs))
      add("  %d of %d episodes succeed, %d cut by the clock, %d unsafe", f.successes, f.attempted, f.cut_episodes,
        f.violation_episodes + f.cut_violation_episodes)
      if f.answers > 0 then
        add("  %d answers beside the ticks, p50 %.1f p99 %.1f max %.1f ms, %d late; %d ticks without an action, %d vetoed", f.answers,
          f.answer_p50_ms, f.answer_p99_ms, f.answer_max_ms, f.late_results, f.dry_ticks, f.vetoed_ticks)
      end
    elseif j.type == "recipe" and f.bytes_f32 then
      add("%s: %.1f kB of weights, %.2fx smaller than f32, in %s", j.name, f.bytes_coded / 1e3, f.ratio, short(j.result))
      add("  weights %d of %d in codes, %d put back", f.weights_in_codes, f.weights, f.weights_put_back)
      add("  %-7s %.6g, f32 %.6g, allowed %.6g", f.metric, f.metric_coded, f.metric_f32, f.metric_allowed)
      add("  step    %.1f us, f32 %.1f us (%.2fx)", f.step_coded_us, f.step_f32_us, f.speedup)
    end
  end
  return out
end

return summary
