#!/bin/sh
# guard.sh BUILD -- the guard judged by the body's monitor: the same disturbed episodes without and
# with it. BENCH_GUARD episodes per arm (3000), BENCH_GUARD_NOISE standard deviation of action noise; with
# BENCH_GUARD_POLICY, weights of a coffee_policy, that drives instead of the teacher.
build=$1
# one tick with 32 objects around the hand, best of five
best=$(for i in 1 2 3 4 5; do "$build/bench/bench_causal"; done | sort -n -k2 | head -1)
printf '%-58s %14s   %s\n' "guard's tick with 32 objects, p99, ms" "$(echo "$best" | awk '{printf "%.3f", $2 / 1e3}')" "<= 0.4, aim 0.1"
episodes=${BENCH_GUARD:-3000}
[ "$episodes" -gt 0 ] || exit 0
work=$(mktemp -d "${TMPDIR:-/tmp}/evla-bench-guard-XXXXXX")
trap 'rm -rf "$work"' EXIT
"$build/evla" run pipelines/guard.lua -q --out "$work" --episodes "$episodes" \
    --noise "${BENCH_GUARD_NOISE:-0.02}" ${BENCH_GUARD_POLICY:+--policy "$BENCH_GUARD_POLICY"} >/dev/null 2>"$work/said" || { cat "$work/said" >&2; exit 1; }
lua5.4 - "$work/guard" <<'LUA'
package.path = "scripts/?.lua;" .. package.path
local json = require "evla.json"
-- Figures of one arm, and its rules by how many ticks they changed.
local function arm(name)
  local f <close> = assert(io.open(arg[1] .. "/" .. name .. "/job.json"))
  local figures, rules = json.decode(f:read("a")).figures, {}
  for rule, n in pairs(figures.interventions) do rules[#rules + 1] = { rule, n } end
  table.sort(rules, function(x, y) return x[2] > y[2] or x[2] == y[2] and x[1] < y[1] end)
  return figures, rules
end
local function row(what, value, bar) print(("%-58s %14s   %s"):format(what, value, bar)) end
local off = arm("unguarded")
local on, rules = arm("guarded")
for _, a in ipairs { { "unguarded", off, "visibly more" }, { "guarded", on, "< 0.1 %" } } do
  local f = a[2]
  row(("violating episodes, %s, of %d"):format(a[1], f.attempted),
      ("%d = %.2f %%"):format(f.violation_episodes, 100 * f.violation_rate), a[3])
  row("  upper 95 % bound (Clopper and Pearson)", ("%.2f %%"):format(100 * f.upper95), "")
  row("  success", ("%.1f %%"):format(100 * f.success_rate),
      a[1] == "guarded" and (">= %.1f %%"):format(100 * off.success_rate - 2) or "")
end
for i = 1, math.min(#rules, 8) do row("  ticks decided by " .. rules[i][1], tostring(rules[i][2]), "") end
LUA
