#!/usr/bin/python3
"""openvla.t -- OpenVLA from a picture and an instruction to an action: a tiny model with seeded weights under the published names
against PyTorch in float64 stage by stage, the pipeline's phases, and what is refused."""
import json
import os
import re
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
import tap
import tiny_models
from op_oracle import np
from tiny_models import HEADS, PATCH, SIDE, WIDTH
from torch_cases import attend, bf16, causal, layer_norm, linear, llama, rel

try:
    import torch
    from PIL import Image
except ImportError:
    print("1..0 # SKIP python3-torch or python3-pil is not installed")
    sys.exit(0)

root = os.path.dirname(here)
build = os.path.abspath(os.environ.get("EVLA_BUILD", os.path.join(root, "build")))
evla = os.path.join(build, "evla")
tap.need(evla, os.path.join(build, "plugins", "image.so"))
work = tempfile.TemporaryDirectory(prefix="evla-openvla-")
at = lambda *name: os.path.join(work.name, *name)
run = lambda *args: subprocess.run([evla, *args], cwd=work.name, capture_output=True, text=True, timeout=300)

# ---- a tiny model: the real names, vocabulary and numbers of heads ----
made = tiny_models.openvla()
weights, config, rng, lm = made.weights, made.config, made.weights.rng, "language_model."
stats = config["norm_stats"]
low, high = (stats["bridge_orig"]["action"][q] for q in ("q01", "q99"))
encode = made.folder(at("tiny"))
tiny = at("tiny")


def changed(name, weights=None, **changes):
    """the same beside another config.json, or with other weights"""
    made.folder(at(name), weights, **changes)
    return at(name)


Image.fromarray(rng.integers(0, 256, (90, 120, 3), np.uint8)).resize((120, 90), Image.BICUBIC).save(at("table.png"))

# ---- the oracle ----
w = {k: torch.tensor(v, dtype=torch.float64) for k, v in weights.items()}
GELU = torch.nn.functional.gelu


def see(name, pixels, heads, blocks, registers):
    p = f"vision_backbone.{name}."
    x = torch.nn.functional.conv2d(pixels[None], w[p + "patch_embed.proj.weight"], w[p + "patch_embed.proj.bias"], stride=PATCH)[0].flatten(1).T
    x = x + w[p + "pos_embed"][0]
    if registers:
        x = torch.cat([w[p + "cls_token"][0], w[p + "reg_token"][0], x])
    for i in range(blocks):
        b = f"{p}blocks.{i}."
        scale = lambda n: w.get(f"{b}{n}.scale_factor", 1)
        q, k, v = linear(w, b + "attn.qkv", layer_norm(w, b + "norm1", x, 1e-6)).chunk(3, -1)
        x = x + scale("ls1") * linear(w, b + "attn.proj", attend(q, k, v, heads))
        x = x + scale("ls2") * linear(w, b + "mlp.fc2", GELU(linear(w, b + "mlp.fc1", layer_norm(w, b + "norm2", x, 1e-6))))
    return x[1 + registers if registers else 0:]


rounded = lambda v: torch.tensor(v).bfloat16().double()[:, None, None]


def both(image):
    """what the towers see of a picture: f64[6,SIDE,SIDE]"""
    picture = torch.tensor(np.asarray(image.resize((SIDE, SIDE), Image.BICUBIC)), dtype=torch.float64).permute(2, 0, 1) / 255
    return torch.cat([(picture - rounded([0.485, 0.456, 0.406])) / rounded([0.229, 0.224, 0.225]), (picture - 0.5) / 0.5])


see_both = lambda x: torch.cat([see("featurizer", x[:3], 16, 2, 4), see("fused_featurizer", x[3:], 16, 1, 0)], -1)
seen = see_both(both(Image.open(at("table.png"))))
rows = linear(w, "projector.fc3", GELU(linear(w, "projector.fc2", GELU(linear(w, "projector.fc1", seen)))))
instruction = "Pick up the red Cup"
text = encode(f"In: What action should the robot take to {instruction.lower()}?\nOut:") + [29871]
table = w[lm + "model.embed_tokens.weight"]


def logits(after):
    x = torch.cat([table[[1]], rows, table[text + after]])
    return llama(w, lm, x, HEADS, 1e-6, 10000.0, causal(len(x)))[-1]


tokens = []
for _ in range(7):
    tokens.append(31744 + int(logits(tokens)[31744:32000].argmax()))
edges = np.linspace(-1, 1, 256)
middles = (edges[1:] + edges[:-1]) / 2


def action_of(tokens):
    normal = middles[np.clip(32000 - np.array(tokens) - 1, 0, 254)]
    return np.where([1] * 6 + [0], 0.5 * (normal + 1) * (np.array(high) - low) + low, normal)


# ---- stage by stage ----
ends = [31999, 31744, 31745, 31998, 31872, 31744, 31999]
json.dump([{"model": tiny, "options": {"kv": "f32"}, "picture": at("table.png"), "text": instruction, "ids": ends}], open(at("questions.json"), "w"))
r = run("run", os.path.join(here, "seeing.lua"), "--trust", "-q", "--questions", at("questions.json"))
got = json.loads(r.stdout.splitlines()[0])[0] if r.returncode == 0 else {"error": r.stderr}
tap.ok("error" not in got, "the model opens from its folder", got.get("error")) or tap.done()
tap.ok(rel(got["rows"], rows) < 1e-5, "both towers and the projector give PyTorch's rows within 1e-5", rel(got["rows"], rows))
tap.ok(got["text"] == text, "the prompt has the tokens of its authors', 29871 at its end", (got["text"], text))
tap.ok(rel(got["logits"], logits([])) < 1e-5, "what follows picture and instruction: PyTorch's logits within 1e-5", rel(got["logits"], logits([])))
tap.ok(abs(np.array(got["action"]) - action_of(ends)).max() < 1e-6, "tokens are actions by the middles of 255 bins, scaled by q01 and q99 where the mask says so",
       (got["action"], action_of(ends)))

# ---- the pipeline ----
pipeline = os.path.join(root, "pipelines", "openvla.lua")
ask = lambda model, *more: run("run", pipeline, "--model", model, "--picture", at("table.png"), "--instruction", instruction, "--kv", "f32", *more)
r = ask(tiny)
line = re.search(r"action  (.*)", r.stdout)
action = np.array([float(x) for x in line[1].split(",")]) if line else np.zeros(7)
tap.ok(r.returncode == 0 and abs(action - action_of(tokens)).max() < 1e-6, "the pipeline chooses PyTorch's seven tokens and says their action",
       r.stdout + r.stderr + str(action_of(tokens)))
phases = re.search(r"image ([\d.]+) ms, vit_encode ([\d.]+) ms, prefill ([\d.]+) ms, decode ([\d.]+) ms; together ([\d.]+) ms", r.stdout)
parts = [float(x) for x in phases.groups()] if phases else [0, 1]
tap.ok(abs(sum(parts[:-1]) - parts[-1]) < 0.26, "its phases add up to the whole, but for five roundings to 0.1 ms", parts)
tap.ok(re.search(r"sees +[\d.]+ MB", r.stdout) and re.search(r"MB keys and values", r.stdout) and "0 allocations" in r.stdout, "and it says the bytes of each part", r.stdout)
again = run("run", pipeline, "--model", tiny, "--picture", at("table.png"), "--instruction", instruction, "--kv", "f32", "--workers", "1")
tap.ok(re.search(r"action  (.*)", again.stdout)[1] == line[1], "the same with one thread")

# ---- a text that is told, as a schedule of graphs of a fixed size: what a rollout runs ----
np.asarray(Image.open(at("table.png"))).tofile(at("picture.u8"))
with open(at("told.lua"), "w") as f:
    f.write(f'''local evla = require "evla"
local jobs = {{}}
for _, kv in ipairs {{ "f32", "bf16" }} do
  for _, workers in ipairs {{ 1, 2 }} do
    local name = kv .. workers
    local m = evla.see("tiny", {{ name = "m" .. name, kv = kv, size = {{ 90, 120 }}, instruction = "{instruction}" }})
    jobs[#jobs + 1] = evla.call(name) {{ model = m.model, schedule = m.schedule, files = {{ picture = "picture.u8" }}, dump = name, workers = workers }}
  end
end
return evla.program(jobs)
''')
r = run("run", at("told.lua"), "--trust")
if tap.ok(r.returncode == 0 and r.stdout.count("uncounted allocations" if os.environ.get("EVLA_SAN") else ", 0 allocations") == 4, "a text that is told runs as a schedule, without an allocation", r.stdout + r.stderr):
    load = lambda *name: np.load(at(*name))
    tap.ok(load("f321", "ids.npy").tolist() == tokens, "it gives PyTorch's seven tokens", (load("f321", "ids.npy"), tokens))
    tap.ok(abs(load("f321", "action.npy") - action_of(tokens)).max() < 1e-6, "and their action")
    tap.ok(all(load(kv + "1", "rows.npy").tobytes() == load(kv + "2", "rows.npy").tobytes() and load(kv + "1", "action.npy").tobytes() == load(kv + "2", "action.npy").tobytes()
               for kv in ("f32", "bf16")), "the same bits with two threads")
    r = run("run", pipeline, "--model", tiny, "--picture", at("table.png"), "--instruction", instruction, "--kv", "bf16")
    said = np.array([float(x) for x in re.search(r"action  (.*)", r.stdout)[1].split(",")])
    tap.ok(abs(load("bf161", "action.npy") - said).max() < 1e-6, "with keys and values in bf16, too, what the pipeline says")

# ---- packed ----
r = run("pack", tiny, "-o", at("tiny.evla"), "--license", "mit")
again = ask(at("tiny.evla"))
tap.ok(r.returncode == 0 and again.returncode == 0 and re.search(r"action  (.*)", again.stdout)[1] == line[1], "a bundle, with nothing beside it, acts the same", r.stderr + again.stderr)
r = run("pack", tiny, "-o", at("x.evla"))
tap.ok(r.returncode == 2 and "license is missing (--license NAME)" in r.stderr, "what the folder does not say of it is asked for by name", r.stderr)
told = run("inspect", at("tiny.evla")).stdout
tap.ok("fitted: resize, bicubic; colours: imagenet_bf16, siglip" in told and "as in the data set bridge_orig" in told, "evla inspect tells what it carries", told)

told = run("inspect", tiny).stdout
tap.ok(all(x in told for x in ("openvla, which evla.see reads", "dino_layers 3", "siglip_width 64", "license     is missing; evla pack takes --license NAME", "as in the data set bridge_orig")),
       "and of a folder its sizes and what it lacks", told)
several = changed("several", norm_stats={**stats, "other": stats["bridge_orig"]})
told = run("inspect", several).stdout
tap.ok("statistics  are of 2 data sets; evla pack takes --unnorm_key, one of bridge_orig, other" in told and "license     is missing" in told, "one that nobody has chosen among several is missing", told)
told = run("inspect", several, "--unnorm_key", "other").stdout
tap.ok("as in the data set other" in told and "low, 7 numbers" in told, "--unnorm_key chooses", told)

# ---- a text that is known to its end, as recipes measure it ----
np.asarray(Image.open(at("table.png"))).tofile(at("picture.u8"))
with open(at("known.lua"), "w") as f:
    f.write(f'''local evla = require "evla"
local m = evla.see("tiny", {{ kv = "f32", answer = 7 }})
return evla.program {{ evla.call "known" (m:call {{ files = {{ picture = "picture.u8" }}, values = {{ before = {{ 1 }}, after = {{ {", ".join(map(str, text + tokens + [5, 6]))} }},
    judged = {{ {", ".join(str(len(rows) + len(text) + i) for i in range(7))} }} }},
  symbols = {{ {{ "H", 90 }}, {{ "W", 120 }}, {{ "N", m.rows }}, {{ "BEFORE", 1 }}, {{ "AFTER", {len(text) + 9} }} }}, dump = "known" }}) }}
''')
r = run("run", at("known.lua"), "--trust")
if tap.ok(r.returncode == 0, "a text that is known runs without a cache", r.stdout + r.stderr):
    far = rel(np.load(at("known", "logits.npy")), torch.stack([logits(tokens[:i]) for i in range(7)]))
    tap.ok(far < 1e-5, f"PyTorch's logits of each of the seven tokens, within {far:.1g}")
    tap.ok(abs(np.load(at("known", "action.npy")) - action_of(tokens)).max() < 1e-6, "and the action of the tokens that it would choose")
r = run("run", os.path.join(root, "pipelines", "quantise.lua"), "--model", tiny, "--output", "logits", "--worse_by", "10%", "--drawn", "1", "--runs", "3", "--license", "mit")
card = json.load(open(at("out", "quantise", "small", "scorecard.json"))) if r.returncode == 0 else {}
tap.ok(0 < card.get("metric_coded", 0) < 0.1 and card["ratio"] > 3.5 and [p["phase"] for p in card["phases"]] == ["image", "vit_encode", "prefill"],
       f"int8: logits off by {card.get('metric_coded', 0):.2g}, and the scorecard has every phase", r.stdout + r.stderr)
r = run("run", pipeline, "--model", at("out", "quantise", "small", "small.evla"), "--picture", at("table.png"), "--instruction", instruction)
line = re.search(r"action  (.*)", r.stdout)
tap.ok(r.returncode == 0 and line and len(line[1].split(",")) == 7, "the pipeline opens the model in codes alone", r.stdout + r.stderr)
with open(at("small.lua"), "w") as f:
    f.write(f'require "evla".see("{at("out", "quantise", "small", "small.evla")}", {{ instruction = "{instruction}" }})')
r = run("run", at("small.lua"), "--trust")
tap.ok(r.returncode == 2 and "a recipe wrote it, so its graphs are as they were measured, and none is told a text; evla pack --type makes" in r.stderr, "which is told nothing in a schedule", r.stderr)

# ---- golden runs: a case's stages against PyTorch, and what becomes of them elsewhere ----
os.makedirs(at("asked"))
os.symlink(at("table.png"), at("asked", "picture.png"))
with open(at("asked", "instruction.txt"), "w") as f:
    f.write(instruction + "\n")
golden = lambda *args: run("golden", *args, "--out", at("out"))
stage = lambda record, name: np.load(at(record, "stages", name + ".npy"))
r = golden("write", "tiny", "-o", "record", "--case", "asked")
order = [s["name"] for s in json.load(open(at("record", "golden.json")))["stages"]] if r.returncode == 0 else []
if tap.ok(order == ["ids", "pixels", "rows", "logits", "action", "tokens"], "a golden run has every stage", r.stdout + r.stderr):
    far = {"pixels": rel(stage("record", "pixels"), both(Image.open(at("table.png")))[None]), "rows": rel(stage("record", "rows"), rows),
           "logits": rel(stage("record", "logits"), torch.stack([logits(tokens[:i]) for i in range(7)]))}
    tap.ok(max(far.values()) < 1e-5, "pixels, rows and logits are PyTorch's within 1e-5", far)
    tap.ok(stage("record", "ids").tolist() == [1] + text and stage("record", "tokens").tolist() == tokens and abs(stage("record", "action") - action_of(tokens)).max() < 1e-6,
           "so are the tokens of the text, those that it answers, and their action")
r = golden("check", "record", "--model", "tiny.evla")
tap.ok(r.returncode == 0 and re.search(r"^  tokens +0 +0 +0 +pass$", r.stdout, re.M) and "all 6 stages are within 1e-05" in r.stdout, "a bundle of it passes", r.stdout + r.stderr)
r = golden("check", "record", "--type", "q8_0", "--json")
found = {s["name"]: s for s in json.loads(r.stdout)["stages"]} if r.returncode in (0, 1) else {}
q8 = np.load(at("out", "golden", "rows.npy"))
tap.ok(found and abs(found["rows"]["rel_l2"] - rel(q8, stage("record", "rows"))) < 1e-6 and found["rows"]["bound"] == 0.15 and "bound" not in found["tokens"] and found["ids"]["bound"] == 0,
       "fewer bits are told as NumPy computes them; tokens are told and not judged", found)
planted = {**weights, lm + "model.layers.1.mlp.up_proj.weight": weights[lm + "model.layers.1.mlp.up_proj.weight"].copy()}
planted[lm + "model.layers.1.mlp.up_proj.weight"][3] = 0
r = golden("check", "record", "--model", changed("planted", planted))
tap.ok(r.returncode == 1 and "the first stage that is off is logits" in r.stdout, "64 numbers of the decoder that were overwritten are found behind the rows", r.stdout + r.stderr)
other = changed("other_words")
vocabulary = json.load(open(os.path.join(other, "tokenizer.json")))
ids_of = vocabulary["model"]["vocab"]
ids_of["o"], ids_of["u"] = ids_of["u"], ids_of["o"]
json.dump(vocabulary, open(os.path.join(other, "tokenizer.json"), "w"))
r = golden("check", "record", "--model", other)
tap.ok(r.returncode == 1 and "the first stage that is off is ids" in r.stdout, "so is a tokenizer with two letters in each other's places", r.stdout + r.stderr)
tap.ok(golden("write", "tiny", "-o", "lot", "--seed", "3", "-q").returncode == 0 and golden("check", "lot", "-q").returncode == 0 and stage("lot", "ids").tolist() != [1] + text,
       "a picture and a text may be drawn by lot")
for args, what in ((("check", "record", "--model", "halves"), "is not there; --model says where"), (("write", "tiny", "-o", "x", "--case", "record"), "record: holds no instruction.txt"),
                   (("write", "tiny", "-o", "y", "--cameras", "2"), "sees one picture; got 2")):
    r = golden(*args)
    tap.ok(r.returncode in (2, 3) and what in r.stderr and r.stderr.count("\n") == 1, "refused: " + what, r.stdout + r.stderr)

# ---- a recipe by cases that are known ----
def quantise(model, case, *more):
    r = run("run", os.path.join(root, "pipelines", "quantise.lua"), "--model", model, "--case", case, "--runs", "3", "--license", "mit", *more)
    return r, json.load(open(at("out", "quantise", "small", "scorecard.json"))) if r.returncode == 0 else {"stages": []}


r, card = quantise("tiny", "asked", "--quant", "q4_0", "--worse_by", "300%")
tap.ok(r.returncode == 0 and card["metric_cases"] == 1 and not card["metric_drawn"] and 0 < card["metric_coded"] < 3 and not card["weights_put_back"], "the action's error by a picture and an instruction that are known", r.stdout + r.stderr)
r = golden("check", "record", "--model", at("out", "quantise", "small", "small.evla"), "--json")
found = {s["name"]: s for s in json.loads(r.stdout)["stages"]} if r.returncode in (0, 1) else {}
far = [abs(s["error"] - found[s["stage"]]["rel_l2"]) for s in card["stages"] if s["stage"] in found]
tap.ok(len(far) == 4 and max(far) < 1e-5 and found["tokens"]["rel_l2"] > 0, "each stage's error is what a golden run finds of the new model, which answered otherwise", (far, r.stdout + r.stderr))
listed = [{"picture": "table.png", "instruction": instruction, "action": action_of(tokens).tolist()}, {"picture": "table.png", "instruction": "open the drawer"}]
json.dump({"cases": listed[:1]}, open(at("one.json"), "w"))
again = quantise("tiny", "one.json", "--quant", "q4_0", "--worse_by", "300%")[1]
tap.ok([s["error"] for s in again["stages"]] == [s["error"] for s in card["stages"]], "an action that is known has the tokens that the model chose", again["stages"])
json.dump({"cases": listed}, open(at("two.json"), "w"))
r, card = quantise("tiny", "two.json", "--worse_by", "50%", "--quant", "q8_0", "--attention", "bf16")
tap.ok(r.returncode == 0 and card["metric_cases"] == 2, "texts of other lengths may stand in one list", r.stdout + r.stderr)
Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).save(at("small.png"))
for cases, what in (([*listed, {"picture": "small.png", "instruction": "x"}], "is a picture of 12 x 9 pixels"), ([{**listed[0], "action": [0.5]}], "has an action of 1 numbers; the model's have 7"),
                    ([{"picture": "table.png"}], 'case 1: want { "picture": FILE, "instruction": TEXT }'), ([{**listed[0], "action": "up"}], '"action" is no list of numbers'),
                    ([{"pictures": ["table.png"] * 2, "instruction": "x"}], "sees one picture; got 2"), ([], 'holds no list "cases"')):
    json.dump({"cases": cases}, open(at("wrong.json"), "w"))
    r, _ = quantise("tiny", "wrong.json")
    tap.ok(r.returncode == 2 and what in r.stderr and r.stderr.count("\n") == 1, "refused: " + what, r.stdout + r.stderr)

# ---- in bf16, as its authors publish it ----
half = changed("half_as_wide", {k: bf16(v) for k, v in weights.items()})
forms = [("bf16, as it is published", half, {"kv": "bf16"}, (0.02, 0.03)), ("bf16, its attention plain", half, {"attention": "plain"}, (0.02, 0.03)),
         ("f32, but bf16 in the towers' attention", tiny, {"attention": "bf16"}, (0.01, 0.01)), ("q8_0, towers too", tiny, {"type": "q8_0"}, (0.03, 0.04)), ("q4_0, towers too", tiny, {"type": "q4_0"}, (0.3, 0.4))]
wide = changed("as_wide", {k: (bf16(v).astype(np.uint32) << 16).view(np.float32) for k, v in weights.items()})
same = [("", half, {"type": "f32"}, ()), ("", wide, {}, ())]
json.dump([{"model": model, "options": {"name": f"m{i}", "kv": "f32", **o}, "picture": at("table.png"), "text": instruction, "ids": ends} for i, (_, model, o, _) in enumerate(forms + same)],
          open(at("questions.json"), "w"))
r = run("run", os.path.join(here, "seeing.lua"), "--trust", "-q", "--questions", at("questions.json"))
answers = json.loads(r.stdout.splitlines()[0]) if r.returncode == 0 else [{"error": r.stderr}] * len(forms + same)
in_f32, as_f32 = answers[-2:]
tap.ok("rows" in in_f32 and in_f32 == as_f32, "type = \"f32\" computes with f32 throughout: the bits of a file in f32 with the same numbers", in_f32.get("error"))
tap.ok(answers[0].get("rows") != answers[1].get("rows"), "matrices in bf16: attention rounds what it multiplies, unless it is told to be plain")
for got, (what, _, _, most) in zip(answers, forms):
    if not tap.ok("error" not in got, what + ": opens", got.get("error")):
        continue
    far = rel(got["rows"], rows), rel(got["logits"], logits([]))
    action = action_of([31744 + int(np.argmax(got["logits"][31744:32000]))] + tokens[1:])[0] - action_of(tokens)[0]
    tap.ok(1e-6 < far[0] < most[0] and 1e-6 < far[1] < most[1], f"{what}: rows within {most[0]:.0%}, logits within {most[1]:.0%}", far)
    print("# %s: rows %.4f, logits %.4f, first entry of the action off by %.4f" % (what, *far, action))

r = run("pack", tiny, "-o", at("q8.evla"), "--license", "mit", "--type", "q8_0")
same = golden("write", tiny, "-o", "eight", "--case", "asked", "--type", "q8_0").returncode == 0 and golden("check", "eight", "--model", "q8.evla", "--within", "0")
tap.ok(r.returncode == 0 and same and same.returncode == 0, "a bundle in q8_0 keeps how attention multiplies: its bits are those of the folder rounded so", same and same.stdout)

# ---- OFT: all at once, each row sees all, two views, and a head of its own ----
entries, chunk, state = 7, 4, 5
base = dict(weights)
head = "action_head.model."
weights.dense("proprio_projector.fc1", WIDTH, state), weights.dense("proprio_projector.fc2", WIDTH, WIDTH)
weights.norm(head + "layer_norm1", entries * WIDTH), weights.dense(head + "fc1", WIDTH, entries * WIDTH)
for i in range(2):
    weights.norm(f"{head}mlp_resnet_blocks.{i}.ffn.0", WIDTH), weights.dense(f"{head}mlp_resnet_blocks.{i}.ffn.1", WIDTH, WIDTH)
weights.norm(head + "layer_norm2", WIDTH), weights.dense(head + "fc2", entries, WIDTH)
knows = {"q01": rng.uniform(-1, 0, state).tolist(), "q99": rng.uniform(0.5, 1, state).tolist()}
known_stats = {"bridge_orig": {**stats["bridge_orig"], "proprio": knows}}
oft = changed("oft", num_actions_chunk=chunk, norm_stats=known_stats)
w.update({k: torch.tensor(v, dtype=torch.float64) for k, v in weights.items() if k not in base})
views = torch.tensor(rng.uniform(-2, 2, (2, 6, SIDE, SIDE)).astype(np.float32))
proprio = torch.tensor(rng.uniform(-1.2, 1.2, state).astype(np.float32))
project = lambda x, name, n: x if n == 0 else linear(w, f"{name}.fc{n}", GELU(project(x, name, n - 1)) if n > 1 else x)
ids, relu = [1] + text, torch.relu
eye, plain = torch.eye(WIDTH, dtype=torch.float64), dict(w)
plain[lm + "lm_head.weight"] = eye  # so that what the last norm gives comes out


def acts(views, proprio=proprio):
    """PyTorch's chunk of actions for f64[n,6,SIDE,SIDE] and what the robot knows of itself, in its own units"""
    q01, q99 = (torch.tensor(knows[q], dtype=torch.float64) for q in ("q01", "q99"))
    felt = torch.clip(2 * (proprio.double() - q01) / (q99 - q01 + 1e-8) - 1, -1, 1)
    vision = torch.cat([project(see_both(v), "projector", 3) for v in views] + [project(felt[None], "proprio_projector", 2)])
    x = torch.cat([table[[1]], vision, table[text], torch.zeros(chunk * entries, WIDTH, dtype=torch.float64), table[[2]]])
    hidden = llama(plain, lm, x, HEADS, 1e-6, 10000.0, torch.ones(len(x), len(x), dtype=torch.bool))
    first = len(vision) + len(ids) - 1  # the last token of the prompt
    y = hidden[first:first + chunk * entries].reshape(chunk, entries * WIDTH)
    y = relu(linear(w, head + "fc1", layer_norm(w, head + "layer_norm1", y, 1e-5)))
    for i in range(2):
        b = f"{head}mlp_resnet_blocks.{i}.ffn."
        y = y + relu(linear(w, b + "1", layer_norm(w, b + "0", y, 1e-5)))
    y = linear(w, head + "fc2", layer_norm(w, head + "layer_norm2", y, 1e-5)).numpy()
    return np.where([1] * 6 + [0], 0.5 * (y + 1) * (np.array(high) - low) + low, y)


want = acts(views.double())
views.numpy().tofile(at("pixels.f32")), proprio.numpy().tofile(at("proprio.f32"))
with open(at("oft.lua"), "w") as f:
    f.write(f'''local evla = require "evla"
local m = evla.see("oft", {{ cameras = 2 }})
return evla.program {{ evla.call "act" (m:call {{ schedule = {{ {{ graph = "vision" }}, {{ graph = "chunk" }} }}, files = {{ pixels = "pixels.f32", proprio = "proprio.f32" }},
  values = {{ ids = {{ {", ".join(map(str, ids))} }} }}, symbols = {{ {{ "T", {len(ids)} }} }}, dump = "oft_made" }}) }}
''')
r = run("run", at("oft.lua"), "--trust")
got = np.load(at("oft_made", "action.npy")) if r.returncode == 0 else np.zeros(1)
tap.ok(r.returncode == 0 and got.shape == want.shape and rel(got, want) < 1e-5, "OFT gives PyTorch's chunk of actions within 1e-5, from two views, proprio and text at once",
       (r.stdout + r.stderr, got))
r = golden("write", "oft", "-o", "oft_lot", "--cameras", "2", "--seed", "5")
order = [s["name"] for s in json.load(open(at("oft_lot", "golden.json")))["stages"]] if r.returncode == 0 else []
tap.ok(order == ["ids", "pixels", "rows", "action"] and stage("oft_lot", "action").shape == (chunk, entries) and golden("check", "oft_lot").returncode == 0,
       "a golden run of OFT has its own stages", r.stdout + r.stderr)
raw = [np.fromfile(at("oft_lot", "inputs", f"picture{i}.u8"), np.uint8).reshape(120, 160, 3) for i in (1, 2)] if order else []
want = torch.stack([both(Image.fromarray(x)) for x in raw])
tap.ok(rel(stage("oft_lot", "pixels"), want) < 1e-5, "each view is prepared as Pillow does it", rel(stage("oft_lot", "pixels"), want))

json.dump({"cases": [{"pictures": ["table.png", "table.png"], "instruction": instruction, "state": [0.1] * state}]}, open(at("oft.json"), "w"))
r, card = quantise("oft", "oft.json", "--worse_by", "20%")
tap.ok(r.returncode == 0 and [s["stage"] for s in card["stages"]] == ["pixels", "rows", "action"] and 0 < card["metric_coded"] < 0.2, "a recipe of OFT is measured by its chunk of actions",
       r.stdout + r.stderr)

two_views = rng.integers(0, 256, (2, 90, 120, 3), np.uint8)
for i, v in enumerate(two_views):
    v.tofile(at(f"picture{i + 1}.u8"))
with open(at("acts.lua"), "w") as f:
    f.write(f'''local evla = require "evla"
local m = evla.see("oft", {{ cameras = 2, size = {{ 90, 120 }}, instruction = "{instruction}" }})
return evla.program {{ evla.call "acts" {{ model = m.model, schedule = m.schedule, dump = "acts",
  values = {{ ids = {{ {", ".join(map(str, ids))} }} }}, files = {{ picture1 = "picture1.u8", picture2 = "picture2.u8", proprio = "proprio.f32" }} }} }}
''')
r = run("run", at("acts.lua"), "--trust")
far = rel(np.load(at("acts", "action.npy")), acts(torch.stack([both(Image.fromarray(v)) for v in two_views]))) if r.returncode == 0 else 9
tap.ok(far < 1e-5, f"as a schedule, from the pictures of two cameras: within 1e-5, {far:.1g}", r.stdout + r.stderr)

for i, v in enumerate(two_views):
    Image.fromarray(v).save(at(f"view{i + 1}.png"))
units = [round(x, 3) for x in proprio.tolist()]
both_views = [at("view1.png") + "," + at("view2.png")]
r = run("run", pipeline, "--model", oft, "--picture", *both_views, "--instruction", instruction, "--state", ",".join(map(str, units)))
want = acts(torch.stack([both(Image.fromarray(v)) for v in two_views]), torch.tensor(units))
far = rel(np.load(at("out", "openvla", "action", "action.npy")), want) if r.returncode == 0 else 9
tap.ok(far < 1e-5 and "vit_encode" in r.stdout, f"the pipeline gives OFT's chunk from files and the robot's units: within 1e-5, {far:.1g}", r.stdout + r.stderr)

# ---- what is refused ----
two = {**stats, "other": stats["bridge_orig"]}
cases = [(changed("nostats", norm_stats=None), [], "nostats/config.json: has no norm_stats, so its actions have no units"),
         (tiny, ["--unnorm_key", "libero"], 'has no statistics "libero"; want one of bridge_orig'),
         (changed("two", norm_stats=two), [], "holds statistics of 2 data sets; want unnorm_key, one of bridge_orig, other"),
         (changed("half", norm_stats={"x": {"action": {"q01": low}}}), [], "norm_stats.x.action.q99 is missing"),
         (changed("other", architectures=["LlavaForConditionalGeneration"]), [], "its architecture is LlavaForConditionalGeneration; want one of"),
         (changed("size", image_sizes=[224, 224]), [], "image_sizes says 224 pixels, but the towers have positions for 56"),
         (changed("one", use_fused_vision_backbone=False), [], "use_fused_vision_backbone is false; only true is supported"),
         (changed("boxed", image_resize_strategy="letterbox"), [], "image_resize_strategy is letterbox; only resize-naive is supported"),
         (changed("no_heads", text_config={"num_attention_heads": 0}), [], "text_config.num_attention_heads is 0; want a whole number of 1 or more"),
         (changed("no_bins", n_action_bins="many"), [], "n_action_bins is many; want a whole number")]
for i, name in enumerate(("language_model.model.layers.1.input_layernorm.weight", "vision_backbone.featurizer.blocks.2.norm1.weight", "vision_backbone.featurizer.reg_token")):
    cases.append((changed(f"without{i}", {k: v for k, v in weights.items() if k != name}), [], name))
cases += [(oft, ["--state", "1,2"], "has a state of 2 numbers; the model asks for 5"), (tiny, ["--state", "1"], "it is not told the robot's state; leave --state out"),
          (changed("unknowing", weights, num_actions_chunk=chunk), [], "norm_stats.bridge_orig.proprio.q01 is missing"),
          (changed("short", weights, num_actions_chunk=chunk, norm_stats={"x": {**stats["bridge_orig"], "proprio": {"q01": [0], "q99": [1]}}}), [],
           "norm_stats says that the robot knows 1 numbers of itself; the weights take 5")]
for model, more, what in cases:
    r = ask(model, *more)
    tap.ok(r.returncode == 2 and what in r.stderr, "refused: " + what, r.stdout + r.stderr)
plain = {k: v for k, v in weights.items() if not k.startswith("vision_backbone.fused")}
r = ask(changed("one_tower", plain))
tap.ok(r.returncode == 2 and "has no tensor vision_backbone.fused_featurizer.patch_embed.proj.weight; is it another architecture's?" in r.stderr,
       "weights of another architecture are refused by the tensor that they lack", r.stderr)
with open(at("cut.png"), "wb") as f:
    f.write(open(at("table.png"), "rb").read()[:900])
r = run("run", pipeline, "--model", tiny, "--picture", at("cut.png"), "--instruction", instruction)
tap.ok(r.returncode in (1, 2, 3) and "cut.png" in r.stderr, "a picture that was cut short is refused by name", r.stderr)
r = run("run", pipeline, "--model", tiny, "--picture", at("table.png"), "--instruction", "x" * 400)
tap.ok(r.returncode == 1 and "the context only" in r.stderr, "so is an instruction longer than the model's text", r.stderr)
tap.done()
