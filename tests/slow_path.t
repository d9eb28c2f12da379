#!/usr/bin/python3
"""slow_path.t -- models that see as the slow path of a rollout: what OpenVLA does in the coffee body is what evla.generate says of the pictures
that the body showed, the same bits again whatever the threads, in real time without an allocation in a tick; OFT; SmolVLA told in words; and
MobileVLM, whose answer a graph of another model acts on."""
import json
import os
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
import tap
from op_oracle import np

try:
    import h5py
    import torch  # noqa: F401, tiny_models wants it
    from PIL import Image
except ImportError:
    print("1..0 # SKIP python3-h5py, python3-torch or python3-pil is not installed")
    sys.exit(0)
import tiny_models
from tiny_models import SIDE, WIDTH
from torch_cases import letters_tokenizer

root = os.path.dirname(here)
build = os.path.abspath(os.environ.get("EVLA_BUILD", os.path.join(root, "build")))
evla = os.path.join(build, "evla")
data = os.path.abspath(os.environ.get("EVLA_TEST_DATA", os.path.join(root, "..", "shared", "data")))
smolvla = os.path.join(data, "smolvla_tiny", "smolvla-tiny.gguf")
tap.need(evla, smolvla, *(os.path.join(build, "plugins", p + ".so") for p in ("mujoco", "causal", "image", "hdf5")))
work = tempfile.TemporaryDirectory(prefix="evla-slow-path-")
at = lambda *name: os.path.join(work.name, *name)
COFFEE = os.path.join(root, "pipelines", "coffee_vla.lua")
none = -1 if os.environ.get("EVLA_SAN") else 0  # allocations; a sanitizer's program does not count them


def run(program, *words, out="out"):
    done = subprocess.run([evla, "run", "--trust", program, "--out", at(out), *words], cwd=work.name, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


def write(name, text):
    with open(at(name), "w") as f:
        f.write(text)
    return at(name)


def told(out, *name):
    with open(at(out, *name)) as f:
        return f.read()


openvla = tiny_models.openvla()
for name in openvla.weights:
    if "patch_embed.proj.weight" in name or "projector.fc3.weight" in name or "self_attn.o_proj" in name:
        openvla.weights[name] *= 8  # so that what is seen counts beside what is told
openvla.folder(at("ov"))

# ---- what it does is what it says ----
write("seen.lua", """local evla = require "evla"
local m = evla.see("ov", { kv = "f32", instruction = "Open the lid", views = { "cameras/front/rgb" }, moves = 8 })
return evla.program { evla.pipeline "seen" {
  evla.rollout { body = evla.body.mujoco { scene = "coffee", cameras = { { name = "front", size = { 56, 56 }, rate = 10 } } }, policy = "model", model = m.model,
    schedule = m:beside { latency = "50ms", chunk = "queue", pace = 5, rate = 4 }, episodes = 2, limit = "800ms" },
  evla.stage.hdf5 { path = "seen.hdf5" },
} }
""")
code, text = run(at("seen.lua"))
if tap.ok(code == 0, "a rollout with OpenVLA beside its ticks", text):
    asked, done = [], []
    with h5py.File(at("out", "seen", "seen", "seen.hdf5")) as f:
        for episode in ("demo_0", "demo_1"):
            frames, actions = f[f"data/{episode}/cameras/front/rgb"][:], f[f"data/{episode}/actions"][:]
            steps = f[f"data/{episode}/cameras/front/step"][:].tolist()
            for tick, played in ((0, range(0, 20)), (25, range(30, 45)), (50, range(55, 70))):  # asked for at, played at
                asked.append(frames[max(i for i, s in enumerate(steps) if s <= tick)])
                done.append(actions[played[0]])
                tap.ok(all((actions[t] == done[-1]).all() for t in played), f"{episode}: what was asked for at tick {tick} is played from its arrival to its end")
            tap.ok(not actions[45:50].any(), f"{episode}: then nothing moves until the next answer")
    for i, picture in enumerate(asked):
        Image.fromarray(picture).save(at(f"seen{i}.png"))
    write("said.lua", f"""local evla = require "evla"
local m = evla.see("ov", {{ kv = "f32" }})
local jobs = {{}}
for i = 1, {len(asked)} do
  jobs[i] = evla.generate("said" .. i - 1) {{ model = m.model, picture = ("seen%d.png"):format(i - 1), prompt = m:prompt "Open the lid", tokens = m.tokens, context = m.context,
    loop = evla.loop.generate(m.loop), ignore_end = true, echo = false }}
end
return evla.program(jobs)
""")
    code, text = run(at("said.lua"))
    said = [np.array(json.loads(told("out", "said", f"said{i}", "job.json"))["figures"]["action"]) if code == 0 else np.zeros(7) for i in range(len(asked))]
    tap.ok(code == 0 and all(np.array_equal(np.clip(a, -1, 1).astype("f4"), d[:7]) and d[7] == 0 for a, d in zip(said, done)),
           "every action is the one that evla.generate says of the same picture, bit for bit", text + str([(a, d) for a, d in zip(said, done)]))
    tap.ok(len({a.tobytes() for a in said}) > 1, "and pictures make a difference", said)

# ---- on a virtual clock ----
acts = ("--model", "ov", "--pace", "5", "--rate", "5", "--latency", "20ms")
rows = {}
for name, words in (("once", ()), ("again", ()), ("threads", ("--threads", "2")), ("other", ())):
    code, text = run(COFFEE, *acts, "--clock", "virtual", "--seconds", "1", "--instruction", "make coffee" if name == "other" else "open the lid", *words, out=name)
    tap.ok(code == 0, f"{name}: an episode with OpenVLA runs", text)
    rows[name] = told(name, "coffee_vla", "robot", "rollout.json") if code == 0 else name
tap.ok(rows["once"] == rows["again"] == rows["threads"], "the same seed, the same rows, whatever the threads")
tap.ok(rows["once"] != rows["other"], "told something else, it does something else")

done = subprocess.run([evla, "pack", "ov", "--type", "q8_0", "--license", "mit", "-o", "ov.evla"], cwd=work.name, capture_output=True, text=True)
code, text = run(COFFEE, "--model", "ov.evla", *acts[2:], "--type", "file", "--clock", "virtual", "--seconds", "1", "--instruction", "open the lid")
tap.ok(done.returncode == 0 and code == 0, "so does a bundle of it in q8_0, with nothing beside it", done.stderr + text)

# ---- in real time ----
code, text = run(COFFEE, *acts, "--seconds", "1", "--instruction", "open the lid")
figures = json.loads(told("out", "coffee_vla", "robot", "job.json"))["figures"] if code == 0 else {}
tap.ok(code == 0 and figures["mallocs"] == none and figures["control_ticks"] > 0, "a second of real time, without an allocation in a tick", text)

# ---- OFT: a chunk of actions from two cameras and the robot's own state ----
w, entries = openvla.weights, 7
for name, out, n in (("proprio_projector.fc1", WIDTH, 9), ("proprio_projector.fc2", WIDTH, WIDTH), ("action_head.model.fc1", WIDTH, entries * WIDTH), ("action_head.model.fc2", entries, WIDTH)):
    w.dense(name, out, n)
w.norm("action_head.model.layer_norm1", entries * WIDTH), w.norm("action_head.model.layer_norm2", WIDTH)
for i in range(2):
    w.norm(f"action_head.model.mlp_resnet_blocks.{i}.ffn.0", WIDTH), w.dense(f"action_head.model.mlp_resnet_blocks.{i}.ffn.1", WIDTH, WIDTH)
stats = {"bridge_orig": {**openvla.config["norm_stats"]["bridge_orig"], "proprio": {"q01": [-1] * 9, "q99": [1] * 9}}}
openvla.folder(at("oft"), num_actions_chunk=8, norm_stats=stats)
for name, chunk in (("queue", "queue"), ("ensemble", "ensemble")):
    code, text = run(COFFEE, "--model", "oft", "--cameras", "2", "--instruction", "open the lid", "--chunk", chunk, "--pace", "20", "--latency", "50ms", "--clock", "virtual", "--seconds", "1")
    figures = json.loads(told("out", "coffee_vla", "robot", "job.json"))["figures"] if code == 0 else {}
    tap.ok(code == 0 and figures["dry_ticks"] == 0, f"OFT's chunks as {name}: no tick without an action", text)

# ---- SmolVLA, told in words ----
letters_tokenizer(at("tokenizer.json"), 400, 399)
code, text = run(COFFEE, "--model", smolvla, "--cameras", "1", "--instruction", "open", "--tokenizer", "tokenizer.json", "--clock", "virtual", "--seconds", "1", "--latency", "50ms")
tap.ok(code == 0, "SmolVLA is told in words of its tokenizer", text)

# ---- MobileVLM V2 answers, and a graph of another model acts on what it answered ----
tiny_models.mobilevlm().folder(at("mv"))
os.makedirs(at("models"))
write("models/heeds.lua", """-- a number of the action for each token
return { graphs = function()
  return { fast = function(g)
    local said = g.cast { g:input("ids", "i32[4]"), to = "f32" }
    g:output("action", g.pad { g.div { said, 1024 }, axis = 0, after = 4 })
  end, reads = function(g) g:output("more", g.cast { g:input("ids", "i32[4]"), to = "f32" }) end }
end }
""")
ANSWERS = """local evla = require "evla"
local m = evla.see("mv", { instruction = "Is the lid open?", says = 4, views = { "cameras/front/rgb" } })
local heeds = evla.model "heeds" {}
local schedule = m:beside { latency = "100ms", rate = 2 }
schedule[#schedule + 1] = { graph = "fast", model = heeds }
local body = evla.body.mujoco { scene = "coffee", cameras = { { name = "front", size = { 56, 56 }, rate = 10 } } }
"""
write("heeds.lua", ANSWERS + """return evla.program { evla.pipeline "seen" {
  evla.rollout { body = body, policy = "model", model = m.model, schedule = schedule, episodes = 1, limit = "1s" }, evla.stage.hdf5 { path = "seen.hdf5" },
} }
""")
code, text = run(at("heeds.lua"))
if tap.ok(code == 0, "a rollout with MobileVLM beside its ticks and another model's graph on them", text):
    with h5py.File(at("out", "heeds", "seen", "seen.hdf5")) as f:
        frames, actions = f["data/demo_0/cameras/front/rgb"][:], f["data/demo_0/actions"][:]
    for i in (0, 5):  # looked at on ticks 0 and 50
        frames[i].tofile(at(f"frame{i}.u8"))
        Image.fromarray(frames[i]).save(at(f"frame{i}.png"))
    write("asked.lua", ANSWERS + """local function call(i) return evla.call("said" .. i) { model = m.model, schedule = m.schedule, files = { picture = ("frame%d.u8"):format(i) }, dump = "said" .. i } end
return evla.program { call(0), call(5) }
""")
    code, text = run(at("asked.lua"))
    said = [np.load(at(f"said{i}", "ids.npy")) if code == 0 else np.zeros(4) for i in (0, 5)]
    want = [np.pad(s.astype("f4") / 1024, (0, 4)) for s in said]
    tap.ok(code == 0 and all((actions[t] == want[0]).all() for t in range(60)) and all((actions[t] == want[1]).all() for t in range(60, 100)) and want[0][:4].any(),
           "each tick acts on the newest answer that is due, a look at the picture and 100 ms behind it", (text, want, actions[[0, 59, 60, 99]]))
write("live.lua", ANSWERS + """return evla.program {
  evla.rollout "wall" { body = body, model = m.model, schedule = schedule, clock = "wall", seconds = 1 },
  evla.rollout "one" { body = body, model = m.model, schedule = schedule, episodes = 3, limit = "1s", workers = 1 },
  evla.rollout "two" { body = body, model = m.model, schedule = schedule, episodes = 3, limit = "1s", workers = 2 },
}
""")
code, text = run(at("live.lua"))
tap.ok(code == 0 and json.loads(told("out", "live", "wall", "job.json"))["figures"]["mallocs"] == none, "in real time, without an allocation in a tick", text)
tap.ok(code == 0 and told("out", "live", "one", "episodes.jsonl") == told("out", "live", "two", "episodes.jsonl"), "the same rows for any number of workers", text)

# ---- what is refused ----
body = 'views = { "cameras/front/rgb" }, moves = 8'
for words, wanted in (((COFFEE, "--model", "ov"), "it acts as it is told; want --instruction"), ((COFFEE, "--model", "mv", "--instruction", "x"), "it answers in words and moves nothing"),
                      ((COFFEE, "--model", "ov", "--instruction", "x", "--cameras", "2"), "sees one picture; got 2")):
    code, text = run(*words)
    tap.ok(code == 2 and wanted in text, f"refused: {wanted}", text)
for call, wanted in ((f'evla.see("ov", {{ {body} }}):beside {{}}', "want the option instruction, or told"), ('evla.see("ov", { instruction = "x" }):beside {}', "when the options views, feels and moves say how"),
                     ('evla.see("mv", { instruction = "x" }):beside {}', "when the option views says how"), ('evla.see("mv", { instruction = "x", moves = 8 })', "moves: it answers in words"),
                     (f'evla.see("ov", {{ instruction = "x", feels = {{ "obs/joint_pos f32[7]" }}, {body} }})', "feels: it takes nothing but pictures and words"),
                     (f'evla.see("ov", {{ told = {{ 1, 2 }}, {body} }})', "want tokens with -1 once, where the picture stands"),
                     ('evla.see("ov", { instruction = "x", views = { "a", "b" }, moves = 8 })', "views: it sees through 1 camera, got 2 channels")):
    code, text = run(write("refused.lua", f"local evla = require 'evla'\n{call}\n"))
    tap.ok(code == 2 and wanted in text, f"refused: {wanted}", text)
for line, wanted in (('{ graph = "fast", model = heeds, joined = true }', "graph fast of model heeds is joined to a graph of model mv; want a call of its own"),
                     ('{ graph = "fast" }', 'model mv: no graph is called "fast"'),
                     ('{ graph = "reads", model = heeds }', 'no graph of it has an output called "action"')):
    code, text = run(write("refused.lua", ANSWERS + f"schedule[#schedule] = {line}\nreturn evla.program {{ evla.rollout \"r\" {{ body = body, model = m.model, schedule = schedule }} }}\n"))
    tap.ok(code == 2 and wanted in text, f"refused: {wanted}", text)
tap.done()
