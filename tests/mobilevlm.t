#!/usr/bin/python3
"""mobilevlm.t -- MobileVLM V2 from a picture and a question to an answer: a tiny model with seeded weights under the names of the
published folder and of llama.cpp's pair of GGUF files, older ones too, against PyTorch in float64; the pipelines; and what is refused."""
import json
import os
import re
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
import gguf
import tap
import tiny_models
from op_oracle import np
from tiny_models import HEADS, PATCH, PROJECTOR, SIDE, TOWER, WIDTH
from torch_cases import attend, causal, layer_norm, linear, llama, rel

try:
    import torch
    from PIL import Image
except ImportError:
    print("1..0 # SKIP python3-torch or python3-pil is not installed")
    sys.exit(0)

root = os.path.dirname(here)
build = os.path.abspath(os.environ.get("EVLA_BUILD", os.path.join(root, "build")))
evla = os.path.join(build, "evla")
tap.need(evla, os.path.join(build, "plugins", "image.so"), os.path.join(build, "plugins", "gguf.so"))
work = tempfile.TemporaryDirectory(prefix="evla-mobilevlm-")
at = lambda *name: os.path.join(work.name, *name)
run = lambda *args: subprocess.run([evla, *args], cwd=work.name, capture_output=True, text=True, timeout=300)

# ---- a tiny model under the real names ----
BLOCKS, VOCABULARY = 3, 512
made = tiny_models.mobilevlm(BLOCKS, VOCABULARY)
weights, rng = made.weights, made.weights.rng
encode = made.folder(at("tiny"))

# ---- the same as llama.cpp's pair ----
LM = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
      "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
SEEN = {"layer_norm1": "ln1", "layer_norm2": "ln2", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.out_proj": "attn_out", "mlp.fc1": "ffn_up", "mlp.fc2": "ffn_down"}
PLAIN = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output", TOWER + "embeddings.class_embedding": "v.class_embd",
         TOWER + "embeddings.patch_embedding": "v.patch_embd", TOWER + "embeddings.position_embedding": "v.position_embd", TOWER + "pre_layrnorm": "v.pre_ln",
         TOWER + "post_layernorm": "v.post_ln", PROJECTOR + "mlp.mlp.0": "mm.model.mlp.0", PROJECTOR + "mlp.mlp.2": "mm.model.mlp.2", PROJECTOR + "peg.peg.0": "mm.model.peg.0"}


def renamed(name, swapped):
    stem, _, end = name.rpartition(".") if name.endswith((".weight", ".bias")) else (name, "", "")
    end = "." + end if end else ""
    if stem in PLAIN:
        return PLAIN[stem] + end
    m = re.match(r"model\.layers\.(\d+)\.(.*)", stem)
    if m:
        return f"blk.{m[1]}.{LM[m[2]]}{end}"
    m = re.match(re.escape(TOWER) + r"encoder\.layers\.(\d+)\.(.*)", stem)
    part = SEEN[m[2]]
    if swapped:
        part = {"ffn_up": "ffn_down", "ffn_down": "ffn_up"}.get(part, part)
    return f"v.blk.{m[1]}.{part}{end}"


def write_pair(lm, mmproj, swapped, projector="ldpv2"):
    both = {}
    for name, v in weights.items():
        new = renamed(name, swapped)
        if re.match(r"blk\.\d+\.attn_[qk]\.", new):  # rows sorted so that neighbours turn together
            v = v.reshape(HEADS, 2, -1, WIDTH).swapaxes(1, 2).reshape(v.shape)
        both[new] = v
    pack = lambda pick: {k: ("f32", v.shape, np.ascontiguousarray(v).tobytes()) for k, v in both.items() if pick(k)}
    is_seen = lambda k: k.startswith(("v.", "mm."))
    tokens = sorted(json.load(open(at("tiny", "tokenizer.json")))["model"]["vocab"].items(), key=lambda t: t[1])
    keys = [("general.architecture", gguf.TEXT, "llama"), ("tokenizer.ggml.model", gguf.TEXT, "llama"), ("tokenizer.ggml.tokens", gguf.LIST, (gguf.TEXT, [t for t, _ in tokens])),
            ("tokenizer.ggml.scores", gguf.LIST, (gguf.F32, [0.0] * VOCABULARY)),
            ("tokenizer.ggml.token_type", gguf.LIST, (5, [2, 3, 3] + [6] * 256 + [1] * (VOCABULARY - 259))), ("tokenizer.ggml.bos_token_id", gguf.U32, 1),
            ("tokenizer.ggml.eos_token_id", gguf.U32, 2), ("tokenizer.ggml.unknown_token_id", gguf.U32, 0), ("tokenizer.ggml.add_bos_token", gguf.BOOL, True),
            ("tokenizer.ggml.add_eos_token", gguf.BOOL, False), ("llama.attention.layer_norm_rms_epsilon", gguf.F32, 1e-6)]
    keys += [("llama." + k, gguf.U32, v) for k, v in (("block_count", 2), ("embedding_length", WIDTH), ("attention.head_count", HEADS), ("attention.head_count_kv", HEADS),
                                                      ("feed_forward_length", 96), ("context_length", 2048), ("rope.dimension_count", WIDTH // HEADS))]
    gguf.write(at(lm), pack(lambda k: not is_seen(k)), keys)
    keys = [("general.architecture", gguf.TEXT, "clip"), ("clip.projector_type", gguf.TEXT, projector), ("clip.has_vision_encoder", gguf.BOOL, True), ("clip.use_gelu", gguf.BOOL, False),
            ("clip.vision.attention.head_count", gguf.U32, 16), ("clip.vision.attention.layer_norm_epsilon", gguf.F32, 1e-5)]
    gguf.write(at(mmproj), pack(is_seen), keys)


write_pair("lm.gguf", "mmproj.gguf", False)
write_pair("lm.gguf", "older.gguf", True)
Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).resize((120, 90), Image.BICUBIC).save(at("table.png"))

# ---- the oracle ----
w = {k: torch.tensor(v, dtype=torch.float64) for k, v in weights.items()}
GELU = torch.nn.functional.gelu
square = Image.new("RGB", (120, 120), (122, 116, 104))
square.paste(Image.open(at("table.png")), (0, 15))
pixels = torch.tensor(np.asarray(square.resize((SIDE, SIDE), Image.BICUBIC)), dtype=torch.float64).permute(2, 0, 1) / 255
colours = lambda v: torch.tensor(v, dtype=torch.float64)[:, None, None]
pixels = (pixels - colours([0.48145466, 0.4578275, 0.40821073])) / colours([0.26862954, 0.26130258, 0.27577711])
x = torch.nn.functional.conv2d(pixels[None], w[TOWER + "embeddings.patch_embedding.weight"], stride=PATCH)[0].flatten(1).T
x = torch.cat([w[TOWER + "embeddings.class_embedding"][None], x]) + w[TOWER + "embeddings.position_embedding.weight"]
x = layer_norm(w, TOWER + "pre_layrnorm", x, 1e-5)
for i in range(BLOCKS - 1):
    b = f"{TOWER}encoder.layers.{i}."
    h = layer_norm(w, b + "layer_norm1", x, 1e-5)
    x = x + linear(w, b + "self_attn.out_proj", attend(*(linear(w, f"{b}self_attn.{n}_proj", h) for n in "qkv"), 16))
    h = linear(w, b + "mlp.fc1", layer_norm(w, b + "layer_norm2", x, 1e-5))
    x = x + linear(w, b + "mlp.fc2", h * torch.sigmoid(1.702 * h))
y = linear(w, PROJECTOR + "mlp.mlp.2", GELU(linear(w, PROJECTOR + "mlp.mlp.0", x[1:])))
n = SIDE // PATCH
y = torch.nn.functional.adaptive_avg_pool2d(y.T.reshape(1, WIDTH, n, n), n // 2)
peg = PROJECTOR + "peg.peg.0"
rows = (torch.nn.functional.conv2d(y, w[peg + ".weight"], w[peg + ".bias"], padding=1, groups=WIDTH) + y)[0].flatten(1).T
question = "What is on the table?"
before = [1] + encode("A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite "
                      "answers to the user's questions. USER: ")
after = encode(f"\n{question} ASSISTANT:")
table = w["model.embed_tokens.weight"]


def logits(more):
    x = torch.cat([table[before], rows, table[after + more]])
    return llama(w, "", x, HEADS, 1e-6, 10000.0, causal(len(x)))[-1]


tokens = []
while len(tokens) < 6:
    tokens.append(int(logits(tokens).argmax()))

# ---- stage by stage, from three forms of the same files ----
forms = [("tiny", {}, "the published folder"), ("lm.gguf", {"mmproj": at("mmproj.gguf")}, "a pair of GGUF files"),
         ("lm.gguf", {"mmproj": at("older.gguf"), "name": "older"}, "a pair by an older converter, whose ffn_up is ffn_down")]
sizes = {"kv": "f32", "height": 90, "picture_width": 120}
json.dump([{"model": at(f), "options": {**sizes, **o}, "picture": at("table.png"), "text": question} for f, o, _ in forms], open(at("questions.json"), "w"))
r = run("run", os.path.join(here, "seeing.lua"), "--trust", "-q", "--questions", at("questions.json"))
answers = json.loads(r.stdout.splitlines()[0]) if r.returncode == 0 else [{"error": r.stderr}] * 3
for got, (_, _, what) in zip(answers, forms):
    tap.ok("error" not in got, "opens: " + what, got.get("error")) or tap.done()
    tap.ok(rel(got["rows"], rows) < 1e-5, "tower and LDPv2 give PyTorch's rows within 1e-5", rel(got["rows"], rows))
    tap.ok(got["before"] == before and got["text"] == after, "the prompt has the tokens that its authors' code makes", (got["before"], got["text"]))
    tap.ok(rel(got["logits"], logits([])) < 1e-5, "and PyTorch's logits follow within 1e-5", rel(got["logits"], logits([])))

# ---- fewer bits ----
forms = [("bf16", "tiny", {}, 0.02), ("q8_0", "tiny", {}, 0.04), ("q4_0", "tiny", {}, 0.5), ("q8_0", "lm.gguf", {"mmproj": at("older.gguf")}, 0.04)]
json.dump([{"model": at(f), "options": {**sizes, **o, "type": kind, "name": f"m{i}"}, "picture": at("table.png"), "text": question} for i, (kind, f, o, _) in enumerate(forms)],
          open(at("questions.json"), "w"))
r = run("run", os.path.join(here, "seeing.lua"), "--trust", "-q", "--questions", at("questions.json"))
answers = json.loads(r.stdout.splitlines()[0]) if r.returncode == 0 else [{"error": r.stderr}] * len(forms)
for got, (kind, file, _, most) in zip(answers, forms):
    far = (rel(got["rows"], rows), rel(got["logits"], logits([]))) if "error" not in got else (9, got)
    tap.ok(1e-6 < far[0] < most and far[1] < most, f"rounded to {kind} from {file}: rows and logits within {most:.0%}", far)
    print(f"# {kind}: rows {far[0]:.4f}, logits {far[1]:.4f}" if "error" not in got else "#")

# ---- through a recipe ----
for kind, most in (("int8", 0.05), ("q4_0", 0.5)):
    r = run("run", os.path.join(root, "pipelines", "quantise.lua"), "--model", at("tiny"), "--quant", kind, "--worse_by", f"{100 * most:g}%", "--drawn", "1", "--runs", "3")
    card = json.load(open(at("out", "quantise", "small", "scorecard.json"))) if r.returncode == 0 else {}
    tap.ok(1e-3 < card.get("metric_coded", 0) < most and card["metric_output"] == "logits" and card["weights_put_back"] == 0 and card["ratio"] > 3,
           f"{kind}, tower and decoder: logits off by {card.get('metric_coded', 0):.2g} of f32's", r.stdout + r.stderr)

r = run("run", os.path.join(root, "pipelines", "quantise.lua"), "--model", at("tiny"), "--license", "mit", "--worse_by", "50%", "--drawn", "1", "--runs", "3")
small = at("out", "quantise", "small", "small.evla")
told = run("inspect", small).stdout
tap.ok("of calls as they were measured: pictures 56 pixels high, 56 pixels wide, keys and values in bf16; another size takes another recipe" in told, "its bundle says which sizes it keeps", told[:1500])
r = run("run", os.path.join(root, "pipelines", "caption.lua"), "--model", small, "--picture", at("table.png"), "--tokens", "2")
tap.ok(r.returncode == 2 and re.search("pixels (high, not pictures 90 pixels high|wide, not 120 pixels wide); a recipe with such cases makes another", r.stderr), "and refuses others", r.stderr)

# ---- the pipelines ----
pipeline = lambda name, *more: run("run", os.path.join(root, "pipelines", name), "--picture", at("table.png"), "--kv", "f32", *more)
ids = {i: t for t, i in json.load(open(at("tiny", "tokenizer.json")))["model"]["vocab"].items()}
text = "".join(ids[t] for t in tokens)
r = pipeline("vqa.lua", "--model", at("tiny"), "--ask", question, "--tokens", "6")
heard = r.stdout.splitlines()[0] if r.stdout else ""
plain = lambda s: re.sub(r"<0x..>|\u2581|\ufffd|\s", "", s)
tap.ok(r.returncode == 0 and len(plain(text)) > 2 and plain(text) in plain(r.stdout), "the answer is PyTorch's greedy one", (text, r.stdout, r.stderr))
phases = re.search(r"image ([\d.]+) ms, vit_encode ([\d.]+) ms, prefill ([\d.]+) ms, decode ([\d.]+) ms; together ([\d.]+) ms", r.stdout)
parts = [float(x) for x in phases.groups()] if phases else [0, 1]
tap.ok(abs(sum(parts[:-1]) - parts[-1]) < 0.26, "its phases add up to the whole, but for five roundings to 0.1 ms", parts)
pair = pipeline("vqa.lua", "--model", at("lm.gguf"), "--mmproj", at("mmproj.gguf"), "--ask", question, "--tokens", "6")
tap.ok(pair.returncode == 0 and pair.stdout.splitlines()[0] == heard, "the same from the pair of files", (pair.stdout, pair.stderr))
for name, model, more in (("folder.evla", "tiny", ()), ("pair.evla", "lm.gguf", ("--mmproj", at("mmproj.gguf")))):
    r = run("pack", at(model), "-o", at(name), "--license", "apache-2.0", *more)
    packed = pipeline("vqa.lua", "--model", at(name), "--ask", question, "--tokens", "6")
    tap.ok(r.returncode == 0 and packed.returncode == 0 and packed.stdout.splitlines()[0] == heard, f"and from a bundle of {model}, with nothing beside it", r.stderr + packed.stderr)
r = pipeline("caption.lua", "--model", at("tiny"), "--tokens", "3")
tap.ok(r.returncode == 0 and "caption: 3 tokens" in r.stdout, "a caption is a question that is always the same", r.stdout + r.stderr)

# ---- golden runs ----
os.makedirs(at("asked"))
os.symlink(at("table.png"), at("asked", "picture.png"))
with open(at("asked", "instruction.txt"), "w") as f:
    f.write(question)
r = run("golden", "write", "lm.gguf", "--mmproj", "mmproj.gguf", "-o", "record", "--case", "asked")
stage = lambda name: np.load(at("record", "stages", name + ".npy"))
if tap.ok(r.returncode == 0, "a golden run of a pair of files", r.stdout + r.stderr):
    said = stage("tokens").tolist()
    far = rel(stage("rows"), rows), rel(stage("logits"), torch.stack([logits(said[:i]) for i in range(7)]))
    tap.ok(max(far) < 1e-5 and said[:6] == tokens and stage("ids").tolist() == before + after, "its stages are PyTorch's within 1e-5", far)
for more in ((), ("--model", "tiny"), ("--model", "pair.evla"), ("--model", "lm.gguf", "--mmproj", "older.gguf")):
    r = run("golden", "check", "record", *more)
    tap.ok(r.returncode == 0 and "all 5 stages are within 1e-05" in r.stdout, "which it keeps, " + (more[-1] if more else "replayed"), r.stdout + r.stderr)

# ---- a text that is told, as a schedule of graphs of a fixed size: what a rollout runs ----
np.asarray(Image.open(at("table.png"))).tofile(at("picture.u8"))
with open(at("told.lua"), "w") as f:
    f.write(f'''local evla = require "evla"
local jobs = {{}}
for name, how in pairs {{ folder = {{ "tiny", says = 6 }}, pair = {{ "lm.gguf", says = 6, mmproj = "mmproj.gguf" }}, short = {{ "tiny", says = 1 }},
                          cut = {{ "tiny", says = 6, ends = {{ 2, {tokens[2]} }} }}, packed = {{ "folder.evla", says = 6 }} }} do
  local file <const> = table.remove(how, 1)
  how.name, how.kv, how.size, how.instruction = "m" .. name, "f32", {{ 90, 120 }}, "{question}"
  local m = evla.see(file, how)
  jobs[#jobs + 1] = evla.call(name) {{ model = m.model, schedule = m.schedule, files = {{ picture = "picture.u8" }}, dump = name }}
end
return evla.program(jobs)
''')
r = run("run", at("told.lua"), "--trust")
if tap.ok(r.returncode == 0, "a text that is told runs as a schedule", r.stdout + r.stderr):
    ids_of = lambda name: np.load(at(name, "ids.npy")).tolist()
    tap.ok(all(ids_of(name) == tokens for name in ("folder", "pair", "packed")), "it gives PyTorch's tokens, from folder, pair and bundle", (ids_of("folder"), tokens))
    tap.ok(ids_of("short") == tokens[:1], "one token alone, too")
    cut = tokens.index(tokens[2])
    tap.ok(ids_of("cut") == tokens[:cut] + [-1] * (6 - cut), "behind a token that ends an answer nothing is said", ids_of("cut"))

# ---- what is refused ----
write_pair("lm.gguf", "mlp.gguf", False, "mlp")
made.folder(at("ldp"), mm_projector_type="ldpnet")
made.folder(at("last"), mm_vision_select_layer=-1)
layer = TOWER + f"encoder.layers.{BLOCKS - 1}.layer_norm1.weight"
made.folder(at("without"), {k: v for k, v in weights.items() if k != layer})
r = run("run", os.path.join(root, "pipelines", "openvla.lua"), "--model", at("tiny"), "--picture", at("table.png"), "--instruction", "go")
tap.ok(r.returncode == 2 and "it answers in words, not in actions; pipelines/vqa.lua asks it" in r.stderr, "a pipeline of actions refuses it by what it does", r.stderr)
for model, more, what in ((at("lm.gguf"), [], "reads no pictures by itself; want mmproj"), (at("lm.gguf"), ["--mmproj", at("mlp.gguf")], "clip.projector_type is mlp; want ldpv2"),
                          (at("lm.gguf"), ["--mmproj", at("lm.gguf")], "clip.projector_type is nil; want ldpv2"), (at("ldp"), [], "mm_projector_type is ldpnet; want ldpnetv2"),
                          (at("last"), [], "mm_vision_select_layer is -1; only -2 is supported"), (at("without"), [], "it holds no weight " + layer)):
    r = pipeline("caption.lua", "--model", model, *more)
    tap.ok(r.returncode == 2 and what in r.stderr, "refused: " + what, r.stdout + r.stderr)
script = at("size.lua")
with open(script, "w") as f:
    f.write(f'''local evla = require "evla"
local m = evla.see("{at("tiny")}", {{ height = 50, picture_width = 50 }})
return evla.program {{ evla.generate "x" {{ model = m.model, picture = "{at("table.png")}", prompt = m:prompt "?", context = 512, loop = evla.loop.generate {{}} }} }}
''')
r = run("run", script)
tap.ok(r.returncode == 1 and "is a picture of 90x120 pixels; the graph \"image\" wants 50x50" in r.stderr, "a picture of another size is refused", r.stderr)
stories = at("plain.gguf")
run("new", "weights", "llama-tiny", "-o", stories)
with open(script, "w") as f:
    f.write(f'''local evla = require "evla"
local m = evla.load "{stories}"
return evla.program {{ evla.generate "x" {{ model = m.model, picture = "{at("table.png")}", prompt = "<image>hello", loop = evla.loop.generate {{}} }} }}
''')
r = run("run", script)
tap.ok(r.returncode == 2 and "sees no pictures: it has no graphs \"image\" and \"vision\"" in r.stderr, "so is a picture for a model without eyes", r.stderr)
tap.done()
