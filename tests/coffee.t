#!/bin/sh
# coffee.t -- the demonstrations of pipelines/coffee.lua in small: 8 episodes, filtered, replayed, stored, shown.
# Oracles: h5py reads the dataset, Python's json the summary, Chromium the page.
build=${EVLA_BUILD:-build}
evla=$build/evla
[ -f "$build/plugins/mujoco.so" ] && [ -f "$build/plugins/hdf5.so" ] || { echo "1..0 # SKIP the mujoco or hdf5 plugin is not built"; exit 0; }
work=$(mktemp -d "${TMPDIR:-/tmp}/evla-coffee-XXXXXX")
trap 'rm -rf "$work"' EXIT
n=0
ok() { # ok STATUS TITLE
    n=$((n + 1))
    if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; sed 's/^/# /' "$work/log" | tail -20; fi
}
run() { "$evla" run pipelines/coffee.lua --learn false --episodes 8 --size 48 "$@" >"$work/log" 2>&1; }

run --out "$work/a" --workers 2
ok $? "the program runs"
out=$work/a/coffee
for f in summary.json manifest.json report.html demos/demos.hdf5 demos/records.jsonl; do
    [ -s "$out/$f" ]; ok $? "it leaves $f"
done
/usr/bin/python3 - "$out/summary.json" >"$work/log" 2>&1 <<'PY'
import json, sys
s = json.load(open(sys.argv[1]))
assert s["episodes"] == 8 and s["kept"] == 8, (s["episodes"], s["kept"], s["discarded"])
assert s["dataset"]["bytes"] > 0 and s["versions"]["evla.mujoco"] and s["seeds"] == {"demos": 1}, s["seeds"]
PY
ok $? "all 8 episodes succeed, replay to the same bits and are kept"
if /usr/bin/python3 -c 'import h5py' 2>/dev/null; then
    /usr/bin/python3 - "$out/demos/demos.hdf5" >"$work/log" 2>&1 <<'PY'
import h5py, json, numpy as np, sys
f = h5py.File(sys.argv[1], "r", swmr=True, libver="latest")
demos = sorted(f["data"].keys(), key=lambda d: int(d[5:]))
assert len(demos) == 8
env = json.loads(f["data"].attrs["env_args"])
assert "env_kwargs" in env and env["type"] == 1
cams = json.loads(f["data"].attrs["camera_info"])
assert cams
for d in demos:
    g = f["data"][d]
    T = int(g.attrs["num_samples"])
    a = g["actions"][()]
    assert a.shape == (T, 8) and np.abs(a).max() <= 1 and g["states"].shape[0] == T
    for k in g["obs"]: assert g["obs"][k].shape[0] == T
    rgb, depth, lab, step = (g["cameras/front/" + k][()] for k in ("rgb", "depth", "labels", "step"))
    assert rgb.dtype == np.uint8 and rgb.shape[1:] == (48, 48, 3) and depth.dtype == np.float16
    # a frame belongs to the first tick at or after k / 30 s
    want = [int(np.ceil(k * 100 / 30 - 1e-9)) for k in range(len(step))]
    assert list(step) == want, (list(step)[:9], want[:9])
    assert (T - 1) * 30 // 100 + 1 == len(step)
    # metres: the table fills most of the picture, between 0.3 and 5 m away
    assert 0.3 < np.median(depth[0][depth[0] > 0]) < 5
    assert len(np.unique(lab)) > 4
    assert g["dones"][-1] == 1 and g.attrs["instruction"]
PY
    ok $? "h5py finds lengths, ranges, frames at their ticks, metres and labels"
else
    n=$((n + 1)); echo "ok $n - # SKIP python3-h5py is not installed"
fi
for w in 1 3; do
    run --out "$work/w$w" --workers $w
    cmp -s "$out/demos/demos.hdf5" "$work/w$w/coffee/demos/demos.hdf5"
    ok $? "$w workers write the same bytes as 2"
done
before=$(ls -l --time-style=full-iso "$out/demos/demos.hdf5" "$out/report.html")
run --out "$work/a" --workers 2 && grep -q "up to date" "$work/log" &&
    [ "$before" = "$(ls -l --time-style=full-iso "$out/demos/demos.hdf5" "$out/report.html")" ]
ok $? "a second run has nothing to do and touches nothing"

# killed in the middle, however often; the set is the same in the end
i=0
while [ $i -lt 4 ]; do
    "$evla" run pipelines/coffee.lua --learn false --episodes 8 --size 48 --out "$work/k" --workers 2 >/dev/null 2>&1 &
    pid=$!
    sleep "0.$((3 + 2 * i))"
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    i=$((i + 1))
done
run --out "$work/k" --workers 2
cmp -s "$out/demos/demos.hdf5" "$work/k/coffee/demos/demos.hdf5"
ok $? "after four kills the next run completes the same set"

"$evla" run pipelines/coffee.lua --learn false --episodes 2 --size 48 --out "$work/s" --workers 1 >/dev/null 2>&1
cp "$work/s/coffee/demos/demos.hdf5" "$work/two.hdf5"
cat >"$work/again.lua" <<LUA
local evla = require "evla"
local coffee = evla.body.mujoco { scene = "coffee", rate = 100 }
return evla.program { evla.pipeline "again" { evla.stage.hdf5 { path = "two.hdf5" }, evla.stage.replay { body = coffee } } }
LUA
"$evla" run "$work/again.lua" --out "$work/again" --json >"$work/json" 2>"$work/log" &&
    /usr/bin/python3 -c 'import json,sys; s=json.load(open(sys.argv[1])); assert s["kept"] == 2 and s["episodes"] == 2, s' "$work/json" 2>>"$work/log"
ok $? "stored episodes replay from the file to the same bits"

cat >"$work/reach.lua" <<LUA
local evla = require "evla"
local reach = evla.body.mujoco { scene = "reach", rate = 100 }
return evla.program { evla.pipeline "demos" { evla.rollout { body = reach, episodes = 10 }, evla.stage.replay { body = reach } } }
LUA
"$evla" run "$work/reach.lua" --out "$work/reach" --json >"$work/json" 2>"$work/log" &&
    /usr/bin/python3 -c 'import json,sys; s=json.load(open(sys.argv[1])); assert s["kept"] == 10, s' "$work/json" 2>>"$work/log"
ok $? "a second scene runs through the same interface"

browser=$(command -v chromium || command -v chromium-browser)
if [ -n "$browser" ] && [ -z "$EVLA_SAN" ]; then
    timeout 60 "$browser" --headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking \
        --disable-component-update --disable-sync --user-data-dir="$work/chromium" --enable-logging=stderr --v=0 \
        --dump-dom "file://$out/report.html" >"$work/dom" 2>"$work/log"
    ! grep -qE 'CONSOLE|Uncaught' "$work/log" && grep -q 'One episode of each goal' "$work/dom" &&
        [ "$(grep -c 'data:image/png;base64' "$work/dom")" -ge 8 ] && ! grep -qE '(src|href)="(http|//|file)' "$work/dom"
    ok $? "Chromium shows the report: no error, no outside link, pictures inside"
else
    n=$((n + 1)); echo "ok $n - # SKIP Chromium is not installed"
fi
echo "1..$n"
