#!/usr/bin/python3
"""chunk.t -- answers of many actions: queue, temporal ensembling, and what the next answer is told, against NumPy in float64 from
the papers; answers that come early, late and not at all; then whole episodes of a body on a virtual clock, action by action."""
import json
import os
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
import tap
from op_oracle import np

build = os.path.abspath(os.environ.get("EVLA_BUILD", os.path.join(os.path.dirname(here), "build")))
evla, runner = os.path.join(build, "evla"), os.path.join(build, "tests", "chunk_runner")
tap.need(evla, runner)
QUEUE, ENSEMBLE, REALTIME = 1, 2, 3
rng = np.random.default_rng(11)


# ---- the oracle: told from the definitions, a tick at a time ----
def row(ticks, pace):
    return int(np.floor(ticks * pace + 1e-9))


def play(mode, answers, tick, pace, decay):
    """answers: (asked, arrived, rows) in order; the action of a tick, None: dry"""
    here = [(rows[row(tick - asked, pace)] if row(tick - asked, pace) < len(rows) else None)
            for asked, arrived, rows in answers if arrived <= tick]
    if mode != ENSEMBLE:
        return here[-1] if here else None
    here = [r for r in here if r is not None]
    w = np.exp(-decay * np.arange(len(here)))  # Zhao et al. 2023, algorithm 2: w_0 is the oldest's
    return (w / w.sum()) @ np.array(here) if here else None


def told(last, ticks, pace, n_fixed):
    """Black et al. 2025: the rest of the answer before, padded with zeros, and equation 5"""
    H, s, d = len(last), row(ticks, pace), n_fixed
    previous = np.concatenate([last[s:], np.zeros((min(s, H), last.shape[1]))])
    w = np.zeros(H)
    for i in range(H):
        if i < d and i < H - s:
            w[i] = 1
        elif i < H - s:
            c = (H - s - i) / (H - s - d + 1)
            w[i] = c * (np.exp(c) - 1) / (np.e - 1)
    return previous, w


def ask(text):
    done = subprocess.run([runner], input=text, capture_output=True, text=True)
    return done.stdout.splitlines()


f32 = lambda *shape: rng.normal(size=shape).astype("f4").astype("f8")
show = lambda x: " ".join("%.9g" % v for v in np.ravel(x))

# ---- scripted answers, their latency jitters ----
for mode, name in ((QUEUE, "queue"), (ENSEMBLE, "ensemble"), (REALTIME, "realtime")):
    worst, dry, ticks = 0.0, [0, 0], 0
    for H, width, period, latency, pace, decay in ((8, 3, 4, 3, 1, 0.01), (16, 2, 1, 5, 1, 0.3), (5, 4, 3, 4, 1, -0.2), (6, 1, 9, 2, 0.3, 0.1)):
        kept = int(np.ceil(H / pace / period)) + 1 if mode == ENSEMBLE else 1
        answers, last = [(0, 0, f32(H, width))], 0
        for asked in range(period, 200, period):
            arrived = max(asked + int(rng.integers(0, latency + 3)), last + 1)  # now and then later than said
            if rng.random() < 0.15:
                continue  # and some never
            answers.append((asked, arrived, f32(H, width)))
            last = arrived
        script, want = [f"law {mode} {H} {width} {kept} 0 {pace} {decay}"], []
        for tick in range(200):
            script += [f"add {asked} {show(rows)}" for asked, arrived, rows in answers if arrived == tick]
            script.append(f"play {tick}")
            want.append(play(mode, answers, tick, pace, decay))
        got = ask("\n".join(script) + "\n")
        for w, line in zip(want, got):
            ticks += 1
            dry[0] += w is None
            dry[1] += line == "dry"
            if (w is None) != (line == "dry"):
                worst = np.inf
            elif w is not None:
                worst = max(worst, np.abs(np.array(line.split(), "f8") - w).max())
    tap.ok(ticks == 800 and worst <= 1e-6, f"{name}: every action of scripted answers with jitter, off by {worst:.2g}, at most 1e-6")
    tap.ok(dry[0] == dry[1] > 5, f"{name}: it runs dry when no answer has an action for now, and says so ({dry[1]} ticks)", dry)

worst = 0.0
for H, width, period, d, pace in ((10, 2, 4, 2, 1), (10, 2, 4, 0, 1), (50, 3, 25, 25, 1), (12, 1, 20, 3, 0.3), (4, 1, 9, 1, 1)):
    last = f32(H, width)
    got = np.array(ask(f"law {REALTIME} {H} {width} 1 {d} {pace} 0\nprevious {period} {show(last)}\n")[0].split(), "f8")
    previous, w = told(last, period, pace, d)
    worst = max(worst, np.abs(got[:H * width] - previous.ravel()).max(), np.abs(got[H * width:] - w).max())
tap.ok(worst <= 1e-6, f"the next answer is told what will be played and how firmly to keep to it, off by {worst:.2g}")
tap.ok(not np.any(np.array(ask(f"law {REALTIME} 3 2 1 2 1 0\nprevious 0\n")[0].split(), "f8")), "the first answer is told nothing")

# ---- whole episodes ----
try:
    import h5py
except ImportError:
    h5py = None
if not h5py or not all(os.path.exists(os.path.join(build, "plugins", p + ".so")) for p in ("mujoco", "hdf5")):
    tap.skip("whole episodes on a virtual clock", "python3-h5py or a plugin is not there")
    tap.done()

work = tempfile.TemporaryDirectory(prefix="evla-chunk-")
at = lambda *name: os.path.join(work.name, *name)
H, STEPS, RATE = 20, 4, 100
os.makedirs(at("models"))
# An answer waves with the joints that were seen. `drawn` makes the same from noise by flow matching; its velocity leads there
# straight, so that chance has no say in the end.
with open(at("models", "waver.lua"), "w") as f:
    f.write(f"""local denoise = require "denoise"
return function()
  local function wave(g, joints)
    local rows = {{}}
    for i = 1, {H} do rows[i] = {{ 0.05 * i }} end
    return g.mul {{ g.sin(g.add {{ joints, g:const("f32[{H},1]", rows) }}), 0.5 }}
  end
  return {{
    look = function(g) g:output("seen", g.pad {{ g:input("obs/joint_pos", "f32[1,7]"), axis = 1, after = 1 }}) end,
    act = function(g) g:output("action", wave(g, g:input("seen", "f32[1,8]"))) end,
    drawn = function(g)
      local x, times, step = g:input("x", "f32[{H},8]"), denoise.times({STEPS}), denoise.step(g)
      for i, t in ipairs(times) do times[i] = {{ {{ t }} }} end
      local time = denoise.row(g, g:const("f32[{STEPS},1,1]", times), step)
      local v = g.div {{ g.sub {{ x, wave(g, g:input("seen", "f32[1,8]")) }}, time }}
      local weight = g.reshape {{ g:input("previous_weight", "f32[{H}]"), shape = {{ {H}, 1 }} }}
      v = denoise.inpaint(g, x, v, step, {STEPS}, g:input("previous", "f32[{H},8]"), weight)
      x = denoise.flow(g, x, v, {STEPS})
      g:output("x", x) g:output("action", x)
    end,
  }}
end
""")
joined = lambda lead, maker="{ graph = 'act', joined = true }": "{ { graph = 'look', " + lead + " }, " + maker + " }"
DRAWN = f"{{ graph = 'drawn', joined = true, times = {STEPS} }}"
CASES = {  # mode, rate, latency in ticks, pace, decay, schedule
    "sync": (QUEUE, 10, 0, 1, 0, joined("chunk = 'queue', rate = 10")),
    "queue": (QUEUE, 100 / 15, 5, 1, 0, joined("chunk = 'queue', latency = '50ms'")),  # asked for as rarely as it lasts
    "dry": (QUEUE, 4, 3, 1, 0, joined("chunk = 'queue', rate = 4, latency = '30ms'")),
    "slowly": (QUEUE, 2, 3, 0.3, 0, joined("chunk = 'queue', rate = 2, latency = '25ms', pace = 30")),
    "ensemble": (ENSEMBLE, 100, 0, 1, 0.01, joined("chunk = 'ensemble', rate = 100")),
    "delayed": (ENSEMBLE, 25, 6, 1, 0.2, joined("chunk = 'ensemble', rate = 25, latency = '60ms', decay = 0.2")),
    "realtime": (REALTIME, 10, 5, 1, 0, joined("chunk = 'realtime', rate = 10, latency = '50ms'", DRAWN)),
}
with open(at("act.lua"), "w") as f:
    f.write("local evla = require 'evla'\nlocal reach, m = evla.body.mujoco { scene = 'reach' }, evla.model 'waver' {}\nlocal jobs = { m }\n")
    for name, case in CASES.items():
        f.write(f"jobs[#jobs + 1] = evla.pipeline '{name}' {{ evla.rollout {{ body = reach, policy = 'model', model = m, episodes = 2, "
                f"limit = '1.2s', seed = 5, schedule = {case[5]} }}, evla.stage.hdf5 {{ path = '{name}.hdf5' }} }}\n")
    f.write("return evla.program(jobs)\n")
run = subprocess.run([evla, "run", at("act.lua"), "--out", at("out")], cwd=work.name, capture_output=True, text=True)
tap.ok(run.returncode == 0, "episodes of every mode run", run.stdout + run.stderr)


def answer_to(joints, before, ticks, case):
    seen = np.concatenate([joints.astype("f8"), [0]])
    rows = 0.5 * np.sin(seen + 0.05 * np.arange(1, H + 1)[:, None])
    if case[0] != REALTIME or before is None:
        return rows
    previous, w = told(before, ticks, case[3], case[2])
    return w[:, None] * previous + (1 - w[:, None]) * rows


for name, case in CASES.items():
    path = at("out", "act", name, name + ".hdf5")
    if not os.path.exists(path):
        continue
    mode, rate, latency, pace, decay, _ = case
    worst, dry, ticks = 0.0, 0, 0
    with h5py.File(path) as f:
        for demo in f["data"].values():
            joints, actions = demo["obs/joint_pos"][:], demo["actions"][:]
            answers = []
            for tick in range(len(actions)):
                if tick == 0 or np.floor(tick * rate / RATE + 1e-9) > np.floor((tick - 1) * rate / RATE + 1e-9):
                    before, since = (answers[-1][2], tick - answers[-1][0]) if answers else (None, 0)
                    answers.append((tick, tick + latency * (tick > 0), answer_to(joints[tick], before, since, case)))
                want = play(mode, answers, tick, pace, decay)
                dry += want is None
                ticks += 1
                worst = max(worst, np.abs(actions[tick] - (0 if want is None else want)).max())
    tap.ok(ticks == 240 and worst <= 1e-6, f"{name}: {ticks} executed actions, off by {worst:.2g}, at most 1e-6")
    tap.ok((dry > 0) == (name == "dry"), f"{name}: of these {dry} without an action: then nothing moves")

# ---- told in figures, and to the guard ----
with open(at("eval.lua"), "w") as f:
    f.write("local evla = require 'evla'\nlocal body, m = evla.body.mujoco { scene = 'coffee' }, evla.model 'waver' {}\n"
            "return evla.program { m, evla.rollout 'eval' { body = body, model = m, episodes = 1, limit = '1s', guard = evla.scene.causal {}, "
            f"schedule = {CASES['dry'][5]} }} }}\n")
if os.path.exists(os.path.join(build, "plugins", "causal.so")):
    run = subprocess.run([evla, "run", at("eval.lua"), "--out", at("out")], cwd=work.name, capture_output=True, text=True)
    if tap.ok(run.returncode == 0, "a chunk that ends too early runs behind the guard", run.stdout + run.stderr):
        with open(at("out", "eval", "eval", "rollout.json")) as f:
            row = json.load(f)["episodes"][0]
        spans = [(s["tick"], s["ticks"]) for s in row["interventions"] if s["kind"] == "veto" and "no_action" in s["facts"]]
        tap.ok(row["dry_ticks"] == 8 + 8 + 8 + 5 and spans[:2] == [(20, 8), (45, 8)], "its dry ticks are counted, and the guard stops the arm in them", row)


# ---- what is refused ----
def refusal(schedule):
    with open(at("bad.lua"), "w") as f:
        f.write("local evla = require 'evla'\nlocal m = evla.model 'waver' {}\nreturn evla.program { m, evla.rollout 'eval' { "
                f"body = evla.body.mujoco {{ scene = 'reach' }}, model = m, schedule = {schedule} }} }}\n")
    r = subprocess.run([evla, "check", at("bad.lua"), "--out", at("out")], cwd=work.name, capture_output=True, text=True)
    return r.returncode, r.stdout + r.stderr


for schedule, words in (
    (joined("rate = 10"), "the graph's output is f32[20,8]"),
    ("{ { graph = 'look', chunk = 'queue' }, { graph = 'act' } }", "graph look: chunk is given, but the call makes no \"action\""),
    ("{ { graph = 'look', joined = true }, { graph = 'act' } }", "graph look is joined, but no graph stands before it"),
    (joined("rate = 10, chunk = 'queue'", "{ graph = 'act', joined = true, rate = 10 }"), "graph act is joined to the one before it"),
    (joined("chunk = 'queue', latency = '110ms'"), "an answer of 20 actions lasts 0.2 s and comes after 0.11 s; the next one is asked for then, and comes too late"),
    (joined("rate = 10, pace = 30"), "pace is that of a chunk"),
    (joined("rate = 10, chunk = 'queue', workers = 2"), "runs on the tick itself, which has one worker, got 2"),
    (joined("rate = 10, chunk = 'queue', pace = 200"), "the body's control rate is 100 Hz, and nothing runs faster"),
    (joined("rate = 100, chunk = 'ensemble', pace = 5"), "401 answers overlap, want at most 256"),
    (joined("rate = 10, chunk = 'realtime'"), "chunk = \"realtime\", but no graph of the call that makes 20 actions reads \"previous\""),
    (joined("rate = 10, chunk = 'queue'", DRAWN), "input previous_weight is what its answer before has for the same moments"),
    (joined("rate = 10, latency = '120ms', chunk = 'realtime'", DRAWN), "12 of 20 actions are begun before the next answer comes"),
):
    code, text = refusal(schedule)
    tap.ok(code == 2 and words in text, f"refused: {words}", text)
tap.done()
