#!/bin/sh
# run.sh BUILD -- the figures of `make bench`: each measured here and now, ratios against a peer in
# the same run. Times depend on the machine; ratios should not.
set -u
build=$1
here=$(pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/evla-bench-XXXXXX")
trap 'rm -rf "$work"' EXIT
evla=$here/$build/evla
row() { printf '%-58s %14s   %s\n' "$1" "$2" "$3"; }
figure() { lua5.4 tests/bench/figure.lua "$@"; }
now() { date +%s.%N; }
since() { echo "$(now) $1" | awk '{printf "%.3f", $1 - $2}'; }

row figure measured bar
row ------ -------- ---

# data: physics, 96x96 RGB-D and labels at 100 Hz, stored uncompressed
"$evla" run pipelines/coffee.lua -q --learn false --out "$work/rate" --episodes "${BENCH_EPISODES:-100}" --camera_rate 100 --compress none --replay false || exit 1
row "kept episodes/min, RGB-D + labels 96x96 at 100 Hz, raw" \
    "$(figure "$work/rate/coffee/summary.json" s.episodes_per_min)" ">= 100, aim 200"
rm -rf "$work/rate"

# the demonstrations of the coffee program, then again with nothing to do
t=$(now)
"$evla" run pipelines/coffee.lua -q --learn false --out "$work/out" || exit 1
row "coffee.lua --learn false, from nothing, s" "$(since "$t")" "< 90"
row "coffee.lua --learn false, its dataset, MB" "$(figure "$work/out/coffee/summary.json" s.dataset.bytes/1e6)" "< 200"
t=$(now)
"$evla" run pipelines/coffee.lua -q --learn false --out "$work/out" || exit 1
row "coffee.lua --learn false, again, nothing to do, s" "$(since "$t")" "<= 1"

best=9
for i in 1 2 3 4 5 6 7 8 9 10; do
    t=$(now)
    "$evla" check pipelines/coffee.lua -q --out "$work/out" >/dev/null || exit 1
    best=$(echo "$(since "$t") $best" | awk '{print $1 < $2 ? $1 : $2}')
done
row "evla check pipelines/coffee.lua, best of 10, s" "$best" "<= 0.100"

# the engine's own memory
row "engine RSS with operators loaded, MB" \
    "$("$build/bench/bench_rss" "$build/plugins/ops.so" | sed 's/.*"rss_bytes":\([0-9]*\).*/\1/' | awk '{printf "%.2f", $1 / 1e6}')" "< 5"

# datasets beside h5py: same files, same run
echo
sh tests/bench/hdf5.sh "$build" "$work" || exit 1
echo
# planner
[ -f tests/bench/plan.sh ] && sh tests/bench/plan.sh "$build" "$work"
# the kernels for this machine beside OpenBLAS, peak and bandwidth
[ -f "$build/plugins/cpu-x86.so" ] && EVLA_BUILD=$build sh tests/bench/x86.sh "$build"
# packed weights beside peak and bandwidth
[ -f "$build/plugins/cpu-x86.so" ] && { EVLA_BUILD=$build "$build/bench/bench_panels" "${BENCH_PANELS_SECONDS:-0.3}" || exit 1; }
# pictures beside Pillow
[ -f "$build/plugins/cpu-x86.so" ] && [ -f "$build/plugins/image.so" ] && { /usr/bin/python3 tests/bench/images.py "$build" || exit 1; }
# weights in codes beside f32
[ -f "$build/plugins/int8.so" ] && { sh tests/bench/int8.sh "$build" || exit 1; }
# vocabularies opened, and a megabyte of text through them and back
words=${EVLA_TEST_DATA:-../shared/data}/tokenizer/ggml-vocab
if [ -f "$build/plugins/tokenizer.so" ] && [ -f "$words-gpt-2.gguf" ]; then
    EVLA_BUILD=$build "$build/bench/bench_tokenizer" "$words-llama-spm.gguf" "$words-gpt-2.gguf" "$words-bert-bge.gguf" || exit 1
fi
# the guard, judged by the monitor
[ -f "$build/plugins/causal.so" ] && [ -f "$build/plugins/mujoco.so" ] && { sh tests/bench/guard.sh "$build" || exit 1; }
# the teacher
if [ "${BENCH_EXPERT:-300}" -gt 0 ]; then
    cat >"$work/expert.lua" <<'LUA'
local evla = require "evla"
local opt = evla.options { episodes = { type = "int", default = 300, doc = "episodes attempted" } }
local coffee = evla.body.mujoco { scene = "coffee", rate = 100 }
return evla.program { evla.pipeline "expert" {
  evla.rollout { body = coffee, episodes = opt.episodes, seed = 424242 },
  evla.stage.sanity { reject = { "not_finite", "object_lost", "self_collision", "joint_limit", "velocity_limit",
    "forbidden_contact", "excessive_force", "unstable_after_release", "timeout", "task_failed" } } } }
LUA
    "$evla" run "$work/expert.lua" -q --out "$work/out" --episodes "${BENCH_EXPERT:-300}" || exit 1
    row "teacher: kept of ${BENCH_EXPERT:-300} episodes, all goals, %" \
        "$(figure "$work/out/expert/summary.json" "100*s.kept/s.episodes")" ">= 97"
fi
