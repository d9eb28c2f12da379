#!/bin/sh
# readme.t -- what the README shows is true: its program checks, its plugin builds with the line it
# prints, loads, and drops what it says it drops.
build=${EVLA_BUILD:-build}
[ -n "${EVLA_SAN:-}" ] && { echo "1..0 # SKIP a plugin from plain cc does not fit a sanitizer's program"; exit 0; }
[ -f "$build/plugins/mujoco.so" ] || { echo "1..0 # SKIP the mujoco plugin is not built"; exit 0; }
work=$(mktemp -d "${TMPDIR:-/tmp}/evla-readme-XXXXXX")
trap 'rm -rf "$work"' EXIT
n=0
ok() { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; sed 's/^/# /' "$work/log"; fi; }
# the first block of a language in the README
block() { awk -v lang="$1" '$0 == "```" lang && !done {on = 1; next} $0 == "```" && on {on = 0; done = 1} on' README.md; }

block c >"$work/brisk.c"
line=$(grep '^cc .*brisk.c' README.md)
[ -s "$work/brisk.c" ] && [ -n "$line" ]
ok $? "the README shows a plugin and the line that builds it"
mkdir "$work/plugins"
(set -- $(echo "$line" | sed "s|brisk.c|$work/brisk.c|; s|build/plugins/brisk.so|$work/plugins/brisk.so|"); "$@" -Wall -Wextra -Werror) >"$work/log" 2>&1
ok $? "it builds without a warning"
block lua >"$work/program.lua"
"$build/evla" check "$work/program.lua" --out "$work/out" >"$work/log" 2>&1
ok $? "the program checks"
cat >"$work/fast.lua" <<'LUA'
local evla = require "evla"
local coffee = evla.body.mujoco { scene = "coffee", rate = 100, goals = { "brew_red_green", "open_lid" } }
return evla.program { evla.pipeline "demos" { evla.rollout { body = coffee, episodes = 6 }, evla.stage.brisk {} } }
LUA
"$build/evla" run "$work/fast.lua" --plugins "$work/plugins" --out "$work/out" --json >"$work/json" 2>"$work/log" &&
    /usr/bin/python3 - "$work/json" "$work/out/fast/demos/records.jsonl" >>"$work/log" 2>&1 <<'PY'
import json, sys
s = json.load(open(sys.argv[1]))
rows = [json.loads(l) for l in open(sys.argv[2])]
slow = [r for r in rows if r["seconds"] > 12]
assert slow and len(slow) < len(rows), rows
assert s["discarded"] == {"dawdled": len(slow)}, s["discarded"]
assert all(r["kept"] == (r["seconds"] <= 12) for r in rows)
PY
ok $? "it drops the episodes over 12 s, and the figures say so"
echo "1..$n"
