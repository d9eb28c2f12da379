#!/bin/sh
# int8.sh BUILD -- weights in codes beside f32: a whole step at batch 1, alternating, best of many.
# f32 is the faster of the kernels for this machine and the portable ones.
build=$1
work=$(mktemp -d "${TMPDIR:-/tmp}/evla-bench-int8-XXXXXX")
trap 'rm -rf "$work"' EXIT
cat >"$work/int8.lua" <<'LUA'
local evla = require "evla"
local opt = evla.options { width = { type = "int", default = 512, doc = "features of a hidden layer" } }
return evla.program { evla.recipe "int8" {
  model = evla.model "mlp" { layers = 3, width = opt.width, state = 64 },
  rules = { { "*", evla.quant.int8 {} } },
  accept = { graph = "policy", metric = "output_error", worse_by = "1000%", samples = 64 },
  runs = 2000,
} }
LUA
for width in 64 256 1024 4096; do
    "$build/evla" run "$work/int8.lua" -q --out "$work/$width" --width $width 2>/dev/null >&2 || exit 1
    lua5.4 - "$work/$width/int8/int8/scorecard.json" $width <<'LUA'
local f <close> = assert(io.open(arg[1]))
local text = f:read("a")
local function figure(name) return tonumber(text:match('"' .. name .. '":([-%d.e+]+)')) end
local large = figure("bytes_f32") > 2 ^ 20
print(("%-58s %14s   %s"):format(
  ("int8 step over f32, width %d: %.1f MB, %.1f us, int8 %.1f us"):format(
    arg[2], figure("bytes_f32") / 1e6, figure("step_f32_us"), figure("step_coded_us")),
  ("%.2fx"):format(figure("speedup")), large and "> 1 (f32 exceeds 1 MiB)" or ">= 1"))
LUA
done
