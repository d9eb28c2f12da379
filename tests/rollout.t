#!/usr/bin/python3
"""rollout.t -- evla.rollout, stage and job, on the point body: rows, figures, workers, a killed run, both clocks.

The policy is the body's teacher written as two graphs, so its closed loop must succeed, and one of them reads the
sentence, so that it must fail with another's."""
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
import tap
from op_oracle import np

root = os.path.dirname(here)
build = os.path.abspath(os.environ.get("EVLA_BUILD", os.path.join(root, "build")))
evla, point = os.path.join(build, "evla"), os.path.join(build, "tests/plugins/body_point.so")
is_plain = not os.environ.get("EVLA_SAN")

STEER = """
return function()
  return {
    slow = function(g)
      local byte = g.cast { g:input("instruction", "u8[B,64]"), to = "f32" }
      local f = g.cast { g.equal { byte, 102 }, to = "f32" } -- a letter f: left, not right
      local left = g.reduce_max { f, axes = { 1 }, keepdims = true }
      local y = g.slice { g:input("obs/mark", "f32[B,2]"), axis = 1, start = 1 }
      g:output("target", g.concat { g.sub { 0.6, g.mul { left, 1.2 } }, y, axis = 1 })
    end,
    fast = function(g)
      local to = g.sub { g:input("target", "f32[B,2]"), g:input("obs/pos", "f32[B,2]") }
      local push = g.sub { g.mul { to, 6 }, g.mul { g:input("obs/vel", "f32[B,2]"), 4 } }
      g:output("action", g.clamp { push, min = -1, max = 1 })
    end,
  }
end
"""
HEAD = """
local evla = require "evla"
local m = evla.model "steer" {}
local s = { { graph = "slow", rate = 30, latency = "10ms" }, { graph = "fast", rate = 100 } }
"""

work = tempfile.mkdtemp(prefix="evla-rollout-")
os.makedirs(os.path.join(work, "models"))
with open(os.path.join(work, "models/steer.lua"), "w") as f:
    f.write(STEER)


def script(name, body):
    path = os.path.join(work, name + ".lua")
    with open(path, "w") as f:
        f.write(HEAD + "return evla.program { " + body + " }\n")
    return path


def run(path, *words, out="out", verb="run"):
    done = subprocess.run([evla, verb, path, "--plugins", point, "--out", os.path.join(work, out), *words],
                          capture_output=True, text=True, cwd=work)
    return done.returncode, done.stdout + done.stderr


def job(program, name, out="out"):
    with open(os.path.join(work, out, program, name, "job.json")) as f:
        return json.load(f)["figures"]


def result(program, name, out="out"):
    with open(os.path.join(work, out, program, name, "rollout.json")) as f:
        return json.load(f)


def at_most(k, n, p):
    """P(X <= k) of n trials"""
    return sum(math.comb(n, i) * p**i * (1 - p)**(n - i) for i in range(k + 1))


# ---- figures ----
both = script("both", """
  evla.rollout "own" { body = evla.body.point {}, model = m, schedule = s, episodes = 120, seed = 4, memory = "1MiB" },
  evla.rollout "shuffled" { body = evla.body.point {}, model = m, schedule = s, episodes = 120, seed = 4,
    instructions = "shuffled" },
  evla.rollout "bumps" { body = evla.body.point { fail_every = 3, fail = "collision" }, policy = "expert", episodes = 90,
    violations = { "collision" } },
""")
code, said = run(both)
tap.ok(code == 0, "a program of three rollouts runs", said)
f, rows = job("both", "own"), result("both", "own")["episodes"]
tap.ok(f["attempted"] == 120 and f["success_rate"] > 0.98, "two graphs at two rates steer the point to its mark",
       str(f["success_rate"]))
tap.ok([r["index"] for r in rows] == list(range(120)) and f["successes"] == sum(r["success"] for r in rows)
       and f["ticks"] == sum(r["ticks"] for r in rows), "figures say what the rows say")
tap.ok(all(f["per_goal"][g]["attempted"] == sum(r["goal"] == g for r in rows) for g in ("left", "right")),
       "and so do those per goal")
tap.ok(0 < f["memory_bytes"] <= 1 << 20 and f["mailbox_bytes"] > 0, "the promise of 1 MiB is kept", str(f["memory_bytes"]))
rows0 = rows[0]
s, told = job("both", "shuffled"), result("both", "shuffled")["episodes"]
tap.ok(0.2 < s["success_rate"] < 0.75, "told another episode's sentence, it goes to the wrong mark", str(s["success_rate"]))
tap.ok([r["seed"] for r in told] == [r["seed"] for r in rows] and [r["goal"] for r in told] == [r["goal"] for r in rows]
       and sorted(r["instruction"] for r in told) == sorted(r["instruction"] for r in rows),
       "the episodes and the sentences are the same, but for who is told which")
left = ("go to the left mark", "move the point left", "left, please")
tap.ok(all(r["success"] == ((r["instruction"] in left) == (r["goal"] == "left")) for r in told),
       "it succeeds exactly where the other's sentence names its mark")
b, bumps = job("both", "bumps"), result("both", "bumps")["episodes"]
hit = [r for r in bumps if r["violations"]]
tap.ok(b["violation_episodes"] == len(hit) and 15 < len(hit) < 45 and all(r["violations"] == ["collision"] for r in hit)
       and all((r["first_violation"] >= 0) == bool(r["violations"]) for r in bumps), "unsafe episodes are counted",
       str(b["violation_episodes"]))
tap.ok(abs(at_most(len(hit), 90, b["upper95"]) - 0.05) < 1e-9, "their upper bound is the exact one")
lo, hi = f["ci95"]["lo"], f["ci95"]["hi"]
tap.ok(lo < f["success_rate"] <= hi and (f["successes"] == 120 or abs(at_most(f["successes"], 120, hi) - 0.025) < 1e-9)
       and abs(at_most(f["successes"] - 1, 120, lo) - 0.975) < 1e-9, "and so are those of success")
code, said = run(both)
tap.ok(code == 0 and said.count("up to date") == 4, "a second run skips everything", said)

# ---- the number of workers ----
texts = []
for workers in (1, 2, 3):
    run(both, "--workers", str(workers), out=f"w{workers}")
    texts.append([open(os.path.join(work, f"w{workers}/both/{j}/rollout.json"), "rb").read() for j in ("own", "shuffled", "bumps")])
tap.ok(texts[0] == texts[1] == texts[2], "one, two and three workers: the same bytes")

# ---- killed ----
slow = script("slow", """evla.rollout "own" { body = evla.body.point { slow = "20us" }, model = m, schedule = s,
  episodes = 120, seed = 4 }""")
code, said = run(slow, out="whole")
going = subprocess.Popen([evla, "run", slow, "--plugins", point, "--out", os.path.join(work, "killed")],
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=work)
journal = os.path.join(work, "killed/slow/own/episodes.jsonl")
until = time.time() + 20
while time.time() < until and not (os.path.exists(journal) and open(journal, "rb").read().count(b"\n") > 10):
    time.sleep(0.002)
going.send_signal(signal.SIGKILL)
going.wait()
had = open(journal, "rb").read().count(b"\n")
with open(journal, "ab") as f:
    f.write(b'{"index":')  # torn
code, said = run(slow, out="killed")
same = open(os.path.join(work, "killed/slow/own/rollout.json"), "rb").read() == open(os.path.join(work, "whole/slow/own/rollout.json"), "rb").read()
tap.ok(code == 0 and same, "a killed evaluation comes to the same bytes", said)
tap.ok(10 < had < 120 and "episodes were run before" in said, f"and goes on where it was ({had} of 120)", said)

# ---- a journal that was damaged ----
rows_before = open(journal, "rb").read().splitlines(True)
for damage in (b"\0\0garbage\n", rows_before[1], b'{"index":3}\n', b'{"index":3,\n'):
    os.remove(os.path.join(work, "killed/slow/own/job.json"))
    with open(journal, "wb") as f:
        f.writelines(rows_before[:3] + [damage])
    code, said = run(slow, out="killed")
    tap.ok(code == 0 and open(journal, "rb").read().splitlines(True) == rows_before, f"a journal that goes on with {damage[:12]} is mended", said)

# ---- stopped in real time ----
stop = script("stop", 'evla.rollout "r" { body = evla.body.point {}, model = m, schedule = s, clock = "wall", seconds = 30 }')
going = subprocess.Popen([evla, "run", stop, "--plugins", point, "--out", os.path.join(work, "stopped")], stdout=subprocess.DEVNULL,
                         stderr=subprocess.PIPE, text=True, cwd=work)
until = time.time() + 20
journal = os.path.join(work, "stopped/stop/r/episodes.jsonl")
while time.time() < until and not (os.path.exists(journal) and os.path.getsize(journal)):
    time.sleep(0.01)
going.send_signal(signal.SIGINT)
said = going.communicate()[1]
tap.ok(going.returncode == 130 and "r: stopped" in said and "starts anew" in said, "a run in real time can be stopped, and says so", said)

# ---- films ----
films = script("films", """evla.rollout "some" { body = evla.body.point { fail_every = 2, fail = "timeout" }, policy = "expert",
  episodes = 12, keep = 4 }""")
code, said = run(films)
some = result("films", "some")
names = [(x["episode"], x["why"]) for x in some["films"]]
tap.ok(len(names) == 4 and names[0][1] == "success" and names[1][1] == "failure"
       and all(some["episodes"][i]["success"] == (why == "success") for i, why in names), "a success and a failure are filmed",
       str(names))
shots = [s for x in some["films"] for s in x["frames"]]
tap.ok(all(open(os.path.join(work, "out/films/some", s["picture"]), "rb").read(8) == b"\x89PNG\r\n\x1a\n" for s in shots)
       and len(shots) == 32, "in pictures over their whole length", str(len(shots)))

# ---- cut short ----
code, said = run(script("short", """
  evla.rollout "short" { body = evla.body.point {}, policy = "zero", episodes = 3, limit = "300ms" },
"""))
short = result("short", "short")["episodes"] if code == 0 else []
tap.ok([r["ticks"] for r in short] == [30] * 3 and not any(r["success"] for r in short),
       "limit cuts episodes that have not ended by then", f"{[r['ticks'] for r in short]} {said}")

# ---- the stage: labels and mixing ----
if os.path.exists(os.path.join(build, "plugins/hdf5.so")):
    try:
        import h5py
    except ImportError:
        h5py = None
    stage = script("stage", """evla.pipeline "visited" { evla.rollout { body = evla.body.point {}, policy = "model", model = m,
      schedule = s, episodes = 24, seed = 9, mix = 0.4, segment = "200ms", noise = 0.2, label = true },
      evla.stage.hdf5 { path = "visited.hdf5" } }""")
    sums = []
    for workers in (1, 3):
        code, said = run(stage, "--workers", str(workers), out=f"s{workers}")
        sums.append(os.path.join(work, f"s{workers}/stage/visited/visited.hdf5"))
    tap.ok(code == 0, "a model's episodes are stored with labels", said)
    if h5py:
        worst, clean, n, equal = 0, 0, 0, True
        with h5py.File(sums[0]) as a, h5py.File(sums[1]) as c:
            for name, demo in a["data"].items():
                equal &= all(np.array_equal(demo[k][...], c["data"][name][k][...]) for k in
                             ("actions", "expert_actions", "states", "obs/pos", "obs/vel", "events"))
                want = np.clip(6 * (demo["obs/mark"][...] - demo["obs/pos"][...]) - 4 * demo["obs/vel"][...], -1, 1)
                got = demo["expert_actions"][...]
                worst = max(worst, abs(got - want).max())
                clean += (abs(demo["actions"][...] - got).max(1) < 1e-6).sum()
                n += len(got)
        tap.ok(worst < 1e-5, f"labels are the teacher's clean actions ({worst:.1e})")
        tap.ok(clean < n / 4, "what was done is another thing, since it is noisy", f"{clean} of {n}")
        tap.ok(equal, "one and three workers store the same")

# ---- real time ----
wall = script("wall", """
  evla.rollout "wall" { body = evla.body.point {}, model = m, schedule = s, clock = "wall", seconds = 4 },
  evla.rollout "spill" { body = evla.body.point { spill_at = 30 }, policy = "expert", clock = "wall", seconds = 3, episodes = 1 },
  evla.rollout "flood" { body = evla.body.point { spill_at = 9, spill = "every_way" }, policy = "expert", clock = "wall", seconds = 0.5 },
  evla.rollout "dent" { body = evla.body.point { fail_every = 1, fail = "collision" }, policy = "zero", violations = { "collision" },
    clock = "wall", seconds = 0.5, keep = 1 },
""")
code, said = run(wall)
w, rows = job("wall", "wall"), result("wall", "wall")
tap.ok(code == 0 and 300 < w["control_ticks"] <= 400 and w["rate_hz"] == 100, "4 s in real time are close to 400 ticks",
       f"{w['control_ticks']} {said}")
tap.ok(w["attempted"] >= 1 and w["successes"] == w["attempted"] and w["cut_episodes"] == 1
       and [r["cut"] for r in rows["episodes"]].count(True) == 1, "episodes succeed there, too; the last one is cut")
tap.ok(sum(n for _, _, n in rows["step_ns"]) == sum(n for _, _, n in rows["jitter_ns"]) == w["control_ticks"],
       "every tick is in the histograms")
tap.ok(w["p50_ms"] <= w["p95_ms"] <= w["p99_ms"] <= w["max_ms"] and rows["step_ns"][-1][1] * 1e-6 >= w["max_ms"],
       "and the quantiles agree with them")
tap.ok(w["scheduling"] in ("fifo", "normal") and (w["scheduling"] == "fifo") == (w["why_not_fifo"] == ""),
       f"it says how it was scheduled: {w['scheduling']} {w['why_not_fifo']}")
d = job("wall", "dent")
tap.ok((d["attempted"], d["violation_episodes"], d["cut_violation_episodes"]) == (0, 0, 1) and "1 cut by the clock, 1 unsafe" in said,
       "what was unsafe in an episode that the clock cut is told", said)
tap.ok([x["why"] for x in result("wall", "dent")["films"]] == ["cut"], "and its film is not called a failure")
tap.ok(("uncounted allocations" in said) != is_plain, "allocations that nobody counts are not called fewer than none", said)
if is_plain:
    tap.ok(w["mallocs"] == 0, "the ticks allocate nothing", str(w["mallocs"]))
    tap.ok(job("wall", "spill")["mallocs"] == 1, "a plugin that allocates once in a tick is seen")
    tap.ok(job("wall", "flood")["mallocs"] == 7, "and so is each way to allocate", str(job("wall", "flood")["mallocs"]))
    if shutil.which("setpriv") and os.geteuid() == 0:
        less = "-sys_nice,-ipc_lock,-sys_resource"
        done = subprocess.run(["prlimit", "--rtprio=0", "--memlock=65536", "setpriv", "--bounding-set", less, "--inh-caps", less,
                               evla, "run", wall, "--plugins", point, "--out", os.path.join(work, "poor")],
                              capture_output=True, text=True, cwd=work)
        p = job("wall", "wall", "poor") if done.returncode == 0 else {}
        tap.ok(p.get("scheduling") == "normal" and p["why_not_fifo"] and p["memory_locked"] is False and p["control_ticks"] > 200,
               "without the right to it, it runs all the same and says so", f"{p} {done.stderr}")

# ---- in the hand ----
hand = os.path.join(work, "hand.lua")
with open(hand, "w") as f:
    f.write("""
local evla = require "evla"
local schedule = { { graph = "slow", rate = 30, latency = "10ms" }, { graph = "fast", rate = 100 } }
local r = evla.drive { body = evla.body.point {}, model = "out/both/steer/steer.evla", schedule = schedule, seed = 4 }
local first = r:step(1)
print("FIRST", first.tick, first.seconds, first.goal, first.done, #first.action)
local last = r:step(1000)
print("LAST", last.tick, last.success, last.done, r:why())
r:reset(nil, "to the " .. (first.goal == "left" and "right" or "left"))
print("WRONG", r:step(1000).success, r)
print("SEEN", #r:observe(), #r:observe("obs/pos"), r:observe("obs/pos")[1])
for _, bad in ipairs { { body = evla.body.point {} }, { body = evla.body.point {}, model = "none.evla" }, { body = evla.body.point {}, polcy = 1 } } do
  print("REFUSED", select(2, pcall(evla.drive, bad)))
end
print("REFUSED", select(2, pcall(r.observe, r, "obs/ps")))
print("REFUSED", select(2, pcall(r.step, r, -1)))
r:close()
print("REFUSED", select(2, pcall(r.step, r)))
return evla.program { evla.model "steer" {} }
""")
code, said = run(hand, "--trust", verb="check")
lines = {}
for line in said.splitlines():
    lines.setdefault(line.split("\t")[0], []).append(line.split("\t")[1:])
tap.ok(code == 0 and lines["FIRST"][0][:2] == ["1", "0.01"] and lines["FIRST"][0][3:] == ["false", "2"], "a loop is stepped by hand", said)
tap.ok(lines["LAST"][0] == [str(rows0["ticks"]), "true", "true", "nobody guards this loop"],
       "it comes to the end of episode 0 of the rollout", f"{lines['LAST']} {rows0['ticks']}")
tap.ok(lines["WRONG"][0][0] == "false" and "at tick 400" in lines["WRONG"][0][1], "told another sentence, it fails", said)
tap.ok(lines["SEEN"][0][:2] == ["4", "2"], "what the body shows can be looked at", said)
tap.ok([any(part in " ".join(x) for x in lines["REFUSED"]) for part in
        ('policy = "model" needs one', "none.evla", 'did you mean "policy"', "no channel", "want 0 or more ticks", "it is closed")] == [True] * 6, "mistakes are told", said)

# ---- refused before anything runs ----
small = script("small", 'evla.rollout "own" { body = evla.body.point {}, model = m, schedule = s, memory = "64KiB" }')
code, said = run(small, out="never")
tap.ok(code == 2 and "65536 bytes are promised, but the loop needs" in said and "mailboxes" in said
       and not os.path.exists(os.path.join(work, "never/small/steer")), "a promise of 64 KiB is refused, and nothing has run", said)

unguarded = script("bare", 'evla.rollout "bare" { body = evla.body.point {}, policy = "expert", memory = "1KiB" }')
code, said = run(unguarded, verb="check")
tap.ok(code == 2 and "1024 bytes are promised" in said, "a loop without a model keeps the promise, too", said)
part = script("part", 'evla.rollout "part" { body = evla.body.point {}, model = m, schedule = { { graph = "fast" } } }')
code, said = run(part, verb="check")
tap.ok(code == 2 and "input target is made by graph slow, which is not in the schedule" in said, "a graph left out is named", said)

shutil.rmtree(work)
tap.done()
