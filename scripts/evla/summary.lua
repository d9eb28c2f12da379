-- summary.lua: what a run comes to, as one flat table for summary.json (schemas/summary.json gives the units).
local summary = { here = nil }

-- A path as a person in the current folder would write it.
local function short(path)
  local here = summary.here and summary.here .. "/"
  return here and path:sub(1, #here) == here and path:sub(#here + 1) or path
end
summary.short = short

-- jobs: list of { name, type, state, seconds, figures, result } as the core reports them.
function summary.of(program, jobs, extra)
  local out = { program = program, jobs = jobs }
  for _, j in ipairs(jobs) do
    local f = j.figures
    if j.type == "pipeline" and f.attempted and not out.episodes then
      out.episodes, out.kept, out.discarded = f.attempted, f.kept, f.discarded
      out.episodes_per_min = f.run_seconds > 0 and 60 * f.kept / f.run_seconds or 0
      for _, figures in pairs(f) do
        if type(figures) == "table" and figures.bytes then
          out.dataset = { path = j.result, bytes = figures.bytes }
        end
      end
    end
    if j.type == "recipe" and f.bytes_f32 then
      out.quant = {
        bytes_f32 = f.bytes_f32, bytes_int8 = f.bytes_int8, metric = f.metric,
        metric_f32 = f.metric_f32, metric_int8 = f.metric_int8, speedup = f.speedup,
      }
    end
  end
  for k, v in pairs(extra or {}) do out[k] = v end
  return out
end

-- One line that a person can quote.
function summary.line(s)
  if not s.episodes then
    local done = 0
    for _, j in ipairs(s.jobs) do if j.state == "done" or j.state == "skipped" then done = done + 1 end end
    return ("%s: %d of %d jobs done"):format(s.program, done, #s.jobs)
  end
  local parts = { ("%s: %d of %d episodes kept, %.0f per minute"):format(s.program, s.kept, s.episodes, s.episodes_per_min) }
  if s.dataset then parts[#parts + 1] = ("%.1f MB in %s"):format(s.dataset.bytes / 1e6, short(s.dataset.path)) end
  return table.concat(parts, ", ")
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
    elseif j.type == "recipe" and f.bytes_f32 then
      add("%s: %.1f kB of weights, %.2fx smaller than f32, in %s", j.name, f.bytes_int8 / 1e3, f.ratio, short(j.result))
      add("  weights %d of %d in codes, %d put back", f.weights_in_codes, f.weights, f.weights_put_back)
      add("  %-7s %.6g, f32 %.6g, allowed %.6g", f.metric, f.metric_int8, f.metric_f32, f.metric_allowed)
      add("  step    %.1f us, f32 %.1f us (%.2fx)", f.step_int8_us, f.step_f32_us, f.speedup)
    end
  end
  return out
end

return summary
