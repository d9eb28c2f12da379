#!/usr/bin/python3
"""coffee_vla.t -- pipelines/coffee_vla.lua with a small SmolVLA and a real mini-vla: what of a body goes into a policy and comes out of it
against NumPy, the same bits again on a virtual clock, answers that keep to the one before them and the seams between them, and real time."""
import json
import os
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
import tap
from op_oracle import np

root = os.path.dirname(here)
build = os.path.abspath(os.environ.get("EVLA_BUILD", os.path.join(root, "build")))
evla = os.path.join(build, "evla")
data = os.path.abspath(os.environ.get("EVLA_TEST_DATA", os.path.join(root, "..", "shared", "data")))
letters = os.path.join(data, "tokenizer", "ggml-vocab-llama-spm.gguf")
smolvla, mini = os.path.join(data, "smolvla_tiny", "smolvla-tiny.gguf"), os.path.join(data, "vla", "mini_vla_libero.safetensors")
tap.need(evla, smolvla, mini, letters, *(os.path.join(build, "plugins", p + ".so") for p in ("mujoco", "causal")))
work = tempfile.TemporaryDirectory(prefix="evla-coffee-vla-")
at = lambda *name: os.path.join(work.name, *name)


def run(*words, program=os.path.join(root, "pipelines", "coffee_vla.lua"), out="out"):
    done = subprocess.run([evla, "run", "--trust", program, "--out", at(out), *words], cwd=work.name, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def figures(out="out"):
    with open(at(out, "coffee_vla", "robot", "job.json")) as f:
        return json.load(f)["figures"]


# ---- what goes in and comes out ----
rng = np.random.default_rng(2)
side, feels = 128, rng.normal(size=9).astype("f4")
views = rng.integers(0, 256, (2, side, side, 3)).astype("u1")
answer = rng.normal(size=(10, 7)).astype("f4")
for name, array in (("front", views[0]), ("wrist", views[1]), ("joints", feels[:7]), ("fingers", feels[7:]), ("answer", answer)):
    array.tofile(at(name))
with open(at("both.lua"), "w") as f:
    f.write(f"""local evla = require "evla"
local p = evla.policy("{smolvla}", {{ cameras = 2, tokens = 4, told = {{ 5, 9 }}, views = {{ "cameras/front/rgb", "cameras/wrist/rgb" }},
  feels = {{ "obs/joint_pos f32[7]", "obs/gripper_pos f32[2]" }}, moves = 8 }})
local observe = evla.call "observe" {{ model = p.model, schedule = {{ {{ graph = "observe" }} }}, dump = "in", files = {{
  ["cameras/front/rgb"] = "front", ["cameras/wrist/rgb"] = "wrist", ["obs/joint_pos"] = "joints", ["obs/gripper_pos"] = "fingers" }} }}
local command = evla.call "command" {{ model = p.model, schedule = {{ {{ graph = "command" }} }}, dump = "out", files = {{ action = "answer" }} }}
return evla.program {{ observe, command }}
""")
code, text = run(program=at("both.lua"))
if tap.ok(code == 0, "the graphs around a policy run alone", text):
    load = lambda *name: np.load(at(*name))
    state = load("in", "state.npy").ravel()
    tap.ok(np.array_equal(load("in", "images.npy"), views), "every camera's picture goes in")
    tap.ok(np.array_equal(state[:9], feels) and not np.any(state[9:]), "the robot's own state, zeros behind it", state)
    tap.ok(load("in", "tokens.npy").tolist() == [5, 9, 0, 0], "and the words that it is told")
    moved = np.clip(np.pad(answer, ((0, 0), (0, 1))), -1, 1)
    tap.ok(np.array_equal(load("out", "action.npy"), moved), "answers come out as wide as the body's actions, within its range")

# ---- on a virtual clock ----
rows = {}
for name, words in (("queue", ()), ("again", ()), ("inpaint", ("--chunk", "inpaint")), ("threads", ("--threads", "2")),
                    ("guide", ("--chunk", "guide")), ("guide again", ("--chunk", "guide", "--threads", "2"))):
    code, text = run("--model", smolvla, "--clock", "virtual", "--seconds", "2", "--cameras", "1", "--latency", "50ms", *words, out=name)
    if tap.ok(code == 0, f"{name}: an episode with a small SmolVLA runs", text):
        with open(at(name, "coffee_vla", "robot", "rollout.json")) as f:
            rows[name] = f.read()
        f = figures(name)
        tap.ok(f["dry_ticks"] == 0 and f["ticks"] == 200, f"{name}: answers come before they end", (f["dry_ticks"], f["ticks"]))
tap.ok(len(rows) == 6 and rows["queue"] == rows["again"] == rows["threads"] and rows["guide"] == rows["guide again"],
       "the same seed, the same rows, whatever the threads")
tap.ok(len(rows) == 6 and rows["inpaint"] != rows["queue"] != rows["guide"], "an answer that keeps to the one before it is another one")
packed = subprocess.run([evla, "pack", smolvla, "-q", "--cameras", "1", "--license", "mit", "--tokenizer", letters, "--type", "q8_0", "-o", at("packed.evla")],
                        cwd=work.name, capture_output=True, text=True)
code, text = run("--model", at("packed.evla"), "--type", "file", "--chunk", "guide", "--clock", "virtual", "--seconds", "1", "--latency", "50ms")
tap.ok(packed.returncode == 0 and code == 0, "weights that lie in layouts of their own are guided, too", packed.stderr + text)

# ---- seams: how far an action jumps when the next answer takes over. It does so in the middle of a row, so a jump is the answers' ----
try:
    import h5py
except ImportError:
    h5py = None
RATE, ASKED, LATE = 100, 8, 5  # ticks a second, between questions, until the answer; a row lasts 2
if h5py and os.path.exists(os.path.join(build, "plugins", "hdf5.so")):
    seams = {}
    with open(at("seams.lua"), "w") as f:
        f.write(f"""local evla = require "evla"
local jobs = {{}}
for _, how in ipairs {{ "none", "inpaint", "guide" }} do
  local p = evla.policy({json.dumps(smolvla)}, {{ cameras = 1, type = "f32", tokens = 2, told = {{ 5, 9 }}, views = {{ "cameras/front/rgb" }},
    feels = {{ "obs/joint_pos f32[7]", "obs/gripper_pos f32[2]" }}, moves = 8, previous = how }})
  local body = evla.body.mujoco {{ scene = "reach", rate = {RATE}, cameras = {{ {{ name = "front", size = {{ 128, 128 }}, rate = 10 }} }} }}
  jobs[#jobs + 1] = evla.pipeline(how) {{ evla.rollout {{ body = body, policy = "model", model = p.model, episodes = 1, limit = "3s", seed = 4,
    schedule = p:beside {{ rate = {RATE / ASKED}, latency = "{10 * LATE}ms", pace = {RATE // 2}, chunk = how == "none" and "queue" or "realtime" }} }},
    evla.stage.hdf5 {{ path = how .. ".hdf5" }} }}
end
return evla.program(jobs)
""")
    code, text = run(program=at("seams.lua"))
    for how in ("none", "inpaint", "guide"):
        path = at("out", "seams", how, how + ".hdf5")
        if not tap.ok(os.path.exists(path), f"{how}: an episode is recorded", text):
            continue
        with h5py.File(path) as f:
            for demo in f["data"].values():
                jump = np.linalg.norm(np.diff(demo["actions"][:], axis=0), axis=1)
        here = np.arange(ASKED + LATE, len(jump), ASKED) - 1
        seams[how] = jump[here].mean()
    tap.ok(seams["guide"] < 0.1 * seams["none"], f"a seam jumps by {seams['guide']:.3f} when an answer is led to the one before it, by {seams['none']:.3f} in a queue", seams)
    tap.ok(seams["inpaint"] < 1e-6, "by inpainting it does not: there a row that is played meanwhile is the earlier one", seams)
else:
    tap.skip("seams between answers", "python3-h5py or a plugin is not there")
code, text = run("--model", mini, "--clock", "virtual", "--seconds", "2", "--pace", "5", "--rate", "10", "--latency", "20ms")
tap.ok(code == 0 and figures()["dry_ticks"] == 0, "mini-vla answers one action at a time, which is played until the next one comes", text)
code, text = run("--model", mini, "--clock", "virtual", "--seconds", "2", "--pace", "50", "--rate", "10", "--latency", "20ms")
tap.ok(code == 0 and figures()["vetoed_ticks"] >= figures()["dry_ticks"] > 0, "played faster than it answers, the guard stops the arm", text)

# ---- in real time: what a busy machine cannot change ----
code, text = run("--model", smolvla, "--cameras", "1", "--seconds", "1")
if tap.ok(code == 0, "a second of real time", text):
    f = figures()
    names = ("answer_p50_ms", "answer_p99_ms", "answer_max_ms", "jitter_p50_ms", "jitter_p99_ms", "jitter_max_ms", "missed", "vetoed_ticks", "dry_ticks")
    tap.ok(f["answers"] == 0 or all(n in f for n in names), "says how long answers took, how late ticks were, when it was dry or vetoed", f)

# ---- what is refused ----
for words, wanted in (
    (("--model", smolvla, "--latency", "200ms"), "an answer of 10 actions lasts 0.33 s and comes after 0.2 s"),
    (("--model", smolvla, "--cameras", "3"), "cameras"),
    (("--model", mini, "--chunk", "guide"), 'model "mini_vla_libero": previous: there is no such parameter'),
):
    code, text = run(*words)
    tap.ok(code == 2 and wanted in text, f"refused: {wanted}", text)
with open(at("outside.lua"), "w") as f:
    f.write(f"local evla = require 'evla'\nevla.policy('{mini}'):beside {{}}\n")
code, text = run(program=at("outside.lua"))
tap.ok(code == 2 and "a policy acts in a body when its options views, feels and moves say how" in text, "refused: a policy without a body", text)
tap.done()
