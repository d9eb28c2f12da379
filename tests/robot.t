#!/bin/sh
# robot.t -- the whole of pipelines/coffee.lua in small: demonstrations, learning, a round of visits, eight bits, evaluation,
# a few seconds in real time. Too little to learn anything; what is checked is that every part is there and counted.
# Oracles: Python's json reads the summary; the figures of the jobs must agree with each other.
build=${EVLA_BUILD:-build}
evla=$build/evla
for p in mujoco hdf5 words int8 causal; do
    [ -f "$build/plugins/$p.so" ] || { echo "1..0 # SKIP the $p plugin is not built"; exit 0; }
done
work=$(mktemp -d "${TMPDIR:-/tmp}/evla-robot-XXXXXX")
trap 'rm -rf "$work"' EXIT
n=0
ok() { # ok STATUS TITLE
    n=$((n + 1))
    if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; sed 's/^/# /' "$work/log" | tail -20; fi
}
run() {
    "$evla" run pipelines/coffee.lua --episodes 4 --size 48 --practice 20 --rounds 2 --visits 4 --steps 60 --trials 6 \
        --wall 2 --out "$work/out" "$@" >"$work/log" 2>&1
}

run
ok $? "the program runs"
out=$work/out/coffee
/usr/bin/python3 - "$out" >"$work/log" 2>&1 <<'PY'
import json, os, sys
s = json.load(open(sys.argv[1] + "/summary.json"))
jobs = {j["name"]: j for j in s["jobs"]}
assert all(j["state"] == "done" for j in s["jobs"]), {j["name"]: j["state"] for j in s["jobs"]}
assert set(s["seeds"]) == {j["name"] for j in s["jobs"] if j["type"] in ("pipeline", "model", "train", "rollout")}, s["seeds"]
t = s["train"]
trains = [j["figures"] for j in s["jobs"] if j["type"] == "train"]
assert len(trains) == 3 and t["steps"] == sum(f["steps"] for f in trains)
assert 0 < t["loss_last"] < t["loss_first"] and t["arena_bytes"] > 0
q = s["quant"]
assert q["bytes_f32"] > 3.5 * q["bytes_int8"] > 0, q
assert q["metric_int8"] <= 1.02 * q["metric_f32"], q
e = s["eval"]
assert e["episodes"] == 6 and 0 <= e["ci95"][0] <= e["success_rate"] <= e["ci95"][1] <= 1
for k in ("success_rate_f32", "success_rate_int8", "success_rate_shuffled", "violation_rate_guarded", "violation_rate_unguarded"):
    assert 0 <= e[k] <= 1, k
rows = json.load(open(jobs["eval"]["result"]))["episodes"]
assert len(rows) == 6 and sum(r["success"] for r in rows) == jobs["eval"]["figures"]["successes"]
c = s["control"]
assert c["rate_hz"] == 100 and 190 <= c["ticks"] <= 200 and c["p50_ms"] <= c["p95_ms"] <= c["p99_ms"] <= c["max_ms"]
assert s["memory"]["peak_rss_bytes"] > 1e6
assert 1e6 < s["memory"]["engine_overhead_bytes"] < s["memory"]["peak_rss_bytes"]
assert os.environ.get("EVLA_SAN") or s["memory"]["mallocs_in_loop"] == 0 # a sanitizer brings its own allocator
assert jobs["robot"]["figures"]["memory_bytes"] <= 16 << 20
PY
ok $? "each part has its block in the summary, and the blocks agree with the jobs"
/usr/bin/python3 - "$out" >"$work/log" 2>&1 <<'PY'
import sys, h5py, numpy as np
def jump(n):
    with h5py.File(f"{sys.argv[1]}/visits{n}/visits{n}.hdf5") as f:
        actions = [np.array(d["actions"])[:, :7] for d in f["data"].values()]
    return max(np.abs(np.diff(a, axis=0)).max() for a in actions)
free, guarded = jump(1), jump(2)
print(free, guarded)
assert guarded < 0.25 < free # what the joints' acceleration allows in 10 ms, three times that where the arm brakes
PY
ok $? "the guard judges the visits of the second round, not those of the first"
grep -q 'succeed.*unsafe.*smaller.*ticks missed' "$out/report.html"
ok $? "the report opens with the line that a person can quote"
run
status=$?
[ $status = 0 ] && [ "$(grep -c 'up to date' "$work/log")" = "$(grep -cE '^[a-z0-9_]+: (done in|up to date)' "$work/log")" ]
ok $? "a second run has nothing to do"
echo "1..$n"
