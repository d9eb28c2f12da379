#!/usr/bin/python3
"""smolvla.t -- pipelines/smolvla.lua on smolvla_tiny, from the GGUF file and from the safetensors: every stage against float64, three
times as exact as PyTorch is in f32 at worst (smolvla_torch.py); cameras and words that are not there; guidance to an earlier
answer; what a robot has (pictures, a
text, its state) against a case of the same numbers; number formats; what is refused, and how."""
import json
import os
import re
import shutil
import subprocess
import sys
import struct
import tempfile
import zlib

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
import tap
from gguf import numbers, read
from op_oracle import np
from torch_cases import letters_tokenizer

root = os.path.dirname(here)
evla = os.path.join(os.path.abspath(os.environ.get("EVLA_BUILD", os.path.join(root, "build"))), "evla")
data = os.path.abspath(os.environ.get("EVLA_TEST_DATA", os.path.join(root, "..", "shared", "data")))
tiny = os.path.join(data, "smolvla_tiny")
gguf, hf = os.path.join(tiny, "smolvla-tiny.gguf"), os.path.join(tiny, "model.safetensors")
tap.need(evla, gguf)
work = tempfile.TemporaryDirectory(prefix="evla-smolvla-")
at = lambda *name: os.path.join(work.name, *name)
off = lambda a, b: np.linalg.norm(a.ravel() - b.ravel()) / np.linalg.norm(b)


def run(model, case, *words, dump=None):
    words = [*words, *(["--dump", dump] if dump else []), *(["--case", case] if case else [])]
    done = subprocess.run([evla, "run", os.path.join(root, "pipelines", "smolvla.lua"), "--out", at("out"), "--model", model, *words],
                          cwd=work.name, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def truth(case, name):
    if name == "action":
        return np.fromfile(os.path.join(tiny, case, "action_ref64.f32"), "<f4").reshape(-1, 32)[:, :7].astype("f8")
    return np.load(os.path.join(tiny, case, "ref64", name + ".npy")).astype("f8")


def errors(case, folder):
    """relL2 of every stage that is known"""
    names = [f[:-4] for f in sorted(os.listdir(os.path.join(tiny, case, "ref64")))] + ["action"]
    return {n: off(np.load(os.path.join(folder, n + ".npy")).astype("f8"), truth(case, n)) for n in names}


# ---- every stage ----
with open(os.path.join(here, "golden", "smolvla_f32.json")) as f:
    torch = json.load(f)
dumps = {}
for case in ("caseA", "caseB"):
    for model in (gguf, hf):
        kind = os.path.splitext(model)[1][1:]
        code, text = run(model, os.path.join(tiny, case), dump=at(f"{case}.{kind}"))
        if not tap.ok(code == 0, f"{case} from {kind}: runs", text):
            continue
        e = dumps[case, kind] = errors(case, at(f"{case}.{kind}"))
        share = {n: e[n] / torch[case][n] for n in e}
        worst = max(share, key=share.get)
        tap.ok(len(e) > 35 and share[worst] <= 3, f"{case} from {kind}: {len(e)} stages within 3 times PyTorch's own error in f32; "
               f"worst {worst}, {share[worst]:.2f} times", share)
shape = lambda n: np.load(at("caseA.gguf", n + ".npy")).shape
tap.ok(all(shape(n) == truth("caseA", n).shape for n in ("k_cache_l0", "xv_l1", "vit_out_v1", "s2_x_t")), "stages have the shapes of the reference")



def copy_case(name, case="caseA", **changed):
    """a case with other bytes in some files, and with more files"""
    os.makedirs(at(name))
    files = {"images": "u8", "tokens": "i32", "state": "f32", "noise": "f32"}
    for part in {**files, **{n: "u8" for n in changed if n not in files}}:
        data = b""
        if part in files:
            with open(os.path.join(tiny, case, f"{part}.{files[part]}"), "rb") as f:
                data = f.read()
        with open(at(name, f"{part}.{files.get(part, 'u8')}"), "wb") as f:
            f.write(changed.get(part, lambda b: b)(data))
    return at(name)


# ---- cameras and words that are not there ----
for name, m in torch["masked"].items():
    pad = lambda b: b + bytes(4 * len(m["token_mask"]) - len(b))
    folder_of = copy_case("masked " + name, m["case"], tokens=pad, image_mask=lambda _: bytes(m["image_mask"]), token_mask=lambda _: bytes(m["token_mask"]))
    code, text = run(gguf, folder_of, dump=at(name))
    if tap.ok(code == 0, f"{name}: runs", text):
        e = off(np.load(at(name, "action.npy")).astype("f8"), np.array(m["action"]))
        tap.ok(e <= 3 * m["error"], f"{name}: action off by {e / m['error']:.2f} times what PyTorch is in f32, at most 3")
one = copy_case("one camera alone", images=lambda b: b[: len(b) // 2])
code, text = run(gguf, one, dump=at("alone"))
e = off(np.load(at("alone", "action.npy")), np.load(at("one camera", "action.npy")))
tap.ok(code == 0 and e < 1e-5, f"a camera that is masked is as good as none: {e:.2g} apart")

# ---- an answer that is led to what an earlier one says ----
def guided(name, case, g, **more):
    """acts by guidance, see golden/smolvla_f32.json; relL2 of the action"""
    listed = lambda v: "{" + ",".join(f"{x:.9g}" for x in v) + "}"
    files = {"images": "images.u8", "tokens": "tokens.i32", "state": "state.f32", "x_t": "noise.f32"}
    option = "".join(f", {k} = {json.dumps(v)}" for k, v in dict(dict(type="f32", previous="guide", guidance=g["beta"]), **more).items())
    with open(at("guided.lua"), "w") as f:
        f.write("local evla = require 'evla'\n"
                f"local p = evla.policy({json.dumps(gguf)}, {{ cameras = 2, tokens = {os.path.getsize(os.path.join(tiny, case, 'tokens.i32')) // 4}{option} }})\n"
                f"return evla.program {{ evla.call 'act' (p:call {{ dump = {json.dumps(at(name))}, workers = {g.get('workers', 1)}, "
                f"values = {{ previous = {listed(g['previous'])}, previous_weight = {listed(g['weight'])} }}, "
                f"files = {{ {', '.join(f'{k} = {json.dumps(os.path.join(tiny, case, v))}' for k, v in files.items())} }} }}) }}\n")
    done = subprocess.run([evla, "run", "--trust", at("guided.lua"), "--out", at("out")], cwd=work.name, capture_output=True, text=True)
    if done.returncode:
        return None, done.stdout + done.stderr
    return off(np.load(at(name, "action.npy")).astype("f8"), np.array(g["action"])), done.stdout + done.stderr


for case, g in torch["guided"].items():
    e, text = guided("guided " + case, case, g)
    tap.ok(e is not None and e <= 3 * g["error"] < g["moved"] / 1e3, f"guided {case}: action off from autograd's by {e} ({g['error']} in f32 of its own; unguided {g['moved']})", text)
g = dict(torch["guided"]["caseA"], workers=2)
e, text = guided("two", "caseA", g)
with open(at("two", "action.npy"), "rb") as a, open(at("guided caseA", "action.npy"), "rb") as b:
    tap.ok(e is not None and a.read() == b.read(), "the same bits from two threads", text)
for rounded, most in (("bf16", 0.02), ("q8_0", 0.08)):
    e, text = guided("guided " + rounded, "caseA", g, type=rounded)
    tap.ok(e is not None and 1e-4 < e <= most, f"guided in {rounded}: action off by {e}, at most {most}", text)

# ---- what a robot has ----


def png(name, pixels):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, 2, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    with open(at(name), "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    return at(name)


def normal(seed, n):
    """Box and Muller on SplitMix64"""
    out, all_ones = [], 2 ** 64 - 1
    for _ in range(n):
        u = []
        for _ in range(2):
            seed = seed + 0x9E3779B97F4A7C15 & all_ones
            z = (seed ^ seed >> 30) * 0xBF58476D1CE4E5B9 & all_ones
            z = (z ^ z >> 27) * 0x94D049BB133111EB & all_ones
            u.append(((z ^ z >> 31) >> 11) * 2.0 ** -53 + 2.0 ** -53)
        out.append(np.sqrt(-2 * np.log(u[0])) * np.cos(2 * np.pi * u[1]))
    return np.array(out, "<f4")


encode = letters_tokenizer(at("tokenizer.json"), 49280, 400)
pixels = np.fromfile(os.path.join(tiny, "caseA", "images.u8"), "u1").reshape(2, 128, 128, 3)
cameras = [png(f"camera{i}.png", v) for i, v in enumerate(pixels)]
ids = [1] + encode("lift it") + [3 + ord("\n")]
state = np.fromfile(os.path.join(tiny, "caseA", "state.f32"), "<f4")
told = ["--tokenizer", at("tokenizer.json"), "--instruction", "lift it", "--state", ",".join(f"{x:.9g}" for x in state[:8]), "--seed", "7"]
same = copy_case("same", tokens=lambda _: np.array(ids, "<i4").tobytes(), noise=lambda _: normal(7, 320).tobytes())
raw = lambda *words: run(gguf, None, "--picture", ",".join(cameras), *told, *words)
code, text = raw("--dump", at("raw"))
known = run(gguf, same, dump=at("known"))
if tap.ok(code == 0 and known[0] == 0, "pictures, an instruction and a state: runs", text + known[1]):
    e = off(np.load(at("raw", "action.npy")), np.load(at("known", "action.npy")))
    tap.ok(e < 1e-5, f"they are the case of the same pixels, tokens, state and noise: {e:.2g} apart")
    kept = np.load(at("out", "smolvla", "act", "action.npy"))
    tap.ok(kept.shape == (10, 7) and "action.npy" in text and f"{kept[3][2]:10.6g}" in text, "actions are printed and written", text)
packed = subprocess.run([evla, "pack", gguf, "--cameras", "2", "--license", "mit", "--tokenizer", at("tokenizer.json"), "--type", "f32", "-o", at("all.evla")],
                        capture_output=True, text=True)
code, text = run(at("all.evla"), None, "--picture", ",".join(cameras), *told[2:], "--dump", at("packed"))
if tap.ok(packed.returncode == 0 and code == 0, "a bundle needs nothing beside it", packed.stderr + text):
    e = off(np.load(at("packed", "action.npy")), np.load(at("raw", "action.npy")))
    tap.ok(e < 1e-5, f"and acts the same: {e:.2g} apart")
code, text = run(gguf, None, "--picture", png("wide.png", np.full((60, 90, 3), 200, "u1")), *told, dump=at("wide"))
p = np.load(at("wide", "pixels.npy")) if code == 0 else None
tap.ok(code == 0 and p.shape == (1, 3, 128, 128) and (p[0, :, :43] == -1).all() and np.allclose(p[0, :, 43:], 200 / 255 * 2 - 1, atol=1e-6),
       "a picture of another size fills the width below a border of -1", text)
code, text = run(gguf, None)
tap.ok(code == 0 and "there is no --picture: it acts on black images" in text, "without pictures it says so", text)

# the same policy in the hand: it goes on after mistakes, and takes another text, fewer cameras
lines = f"""
p = evla.policy({json.dumps(gguf)}, {{ type = "f32", masked = true, pictures = {{ {json.dumps(cameras[0])}, {json.dumps(cameras[1])} }}, instruction = "lift it",
  state = {{ {", ".join(f"{x:.9g}" for x in state[:8])} }}, seed = 7, tokenizer = {json.dumps(at("tokenizer.json"))} }})
s = p:session()
first = s:run():get "action":list()
for _, row in ipairs(first) do print("row", table.unpack(row)) end
p:set(s, {{ state = {{ 1, 2 }} }})
p:set(s, {{ instruction = ("x"):rep(60) }})
p:set(s, {{ pictures = {{ {json.dumps(at("wide.png"))} }} }})
p:set(s, {{ pictures = {{ {", ".join(json.dumps(cameras[i]) for i in (0, 1, 0))} }} }})
p:set(s, {{ picture = {{ {json.dumps(cameras[0])} }} }})
p:set(s, {{ instruction = 5 }})
p:set(s, {{ state = {{ 1, 2, 3, 4, 5, 6, 7, 0 / 0 }} }})
p:set(s, {{ instruction = "put it down", pictures = {{ {json.dumps(cameras[0])} }} }})
print("other", s:run():get "action":list()[1][1] ~= first[1][1])
"""
done = subprocess.run([evla, "repl", "--trust"], input=lines, cwd=work.name, capture_output=True, text=True)
text = done.stdout + done.stderr
rows = np.array([[float(x) for x in line.split("\t")[1:]] for line in text.splitlines() if line.startswith("row")])
e = off(rows, np.load(at("raw", "action.npy"))) if len(rows) == 10 else 9
tap.ok(e < 1e-5 and "other\ttrue" in text, f"a masked call in the hand acts like the exact one, {e:.2g} apart, and goes on after mistakes", text)
tap.ok("of a state of 8 numbers (state_mean); got 2" in text and "the text has 63 tokens; the model was trained with at most 48" in text and
       "wide.png: is a picture of 90 x 60 pixels; the call was planned for 128 x 128" in text and "got 3 pictures; want 2" in text and
       'there is no "picture" to be told; want pictures, instruction, state' in text and "instruction: want a text, got 5" in text and
       re.search(r"state\[8\]: want a number, got -?nan", text), "each mistake is a sentence", text)

# ---- what it says of itself ----
code, text = run(gguf, os.path.join(tiny, "caseB"), "--runs", "3", "--workers", "1")
with open(at("out", "smolvla", "act", "job.json")) as f:
    f = json.load(f)["figures"]
tap.ok([p["phase"] for p in f["phases"]] == ["image", "vit_encode", "prefill", "expert"] and
       abs(sum(p["ms"] for p in f["phases"]) - f["ms"]) <= 0.01 * f["ms"], "phases sum to the call within 1 %", f["phases"])
tap.ok(f["mallocs"] <= 0, "a call allocates nothing", f["mallocs"])
tap.ok(f["bytes"] == f["weight_bytes"] + f["arena_bytes"] + f["state_bytes"] + f["value_bytes"], "bytes by part", f)
code, text = run(gguf, os.path.join(tiny, "caseB"), "--budget", "8MiB")
tap.ok(code == 2 and re.search(r"memory: 8388608 bytes are allowed, but the call needs \d+: weights \d+, arena", text), "a missed budget names the parts", text)

# ---- number formats: the action's error is what counts ----
for kind, most in (("bf16", 0.02), ("q8_0", 0.08), ("q4_0", 0.5)):
    code, text = run(gguf, os.path.join(tiny, "caseA"), "--type", kind, dump=at(kind))
    if tap.ok(code == 0, f"{kind}: runs", text):
        e = errors("caseA", at(kind))
        tap.ok(1e-4 < e["action"] <= most, f"{kind}: action off by {e['action']:.3g} of seeded weights, at most {most}", e)
        print("# " + ", ".join(f"{n} {e[n]:.2g}" for n in ("vit_out_v0", "img_emb_v0", "prefix_embs", "vlm_l2_out", "k_cache_l3", "s0_aex_l3_out", "s3_x_t")))
code, text = run(gguf, None, "--type", "q3_x")
tap.ok(code == 2 and 'no type is called "q3_x"; want one of' in text, "an unknown format is refused by name", text)

# ---- a file of drawn weights, as vla.cpp's converter wrote the tiny one ----
drawn, here_kinds, their_kinds = at("drawn.gguf"), {}, {}
done = subprocess.run([evla, "new", "weights", "smolvla-tiny", "-q", "--type", "bf16", "-o", drawn], capture_output=True, text=True)
if tap.ok(done.returncode == 0, "drawn weights of the same sizes", done.stderr):
    (mine, says), (theirs, told_by) = read(drawn, here_kinds), read(gguf, their_kinds)
    layout = lambda tensors: {n: (kind, shape) for n, (kind, shape, _) in tensors.items()}
    tap.ok(layout(mine) == layout(theirs), "every tensor is there, in the same shape and numbers", set(map(str, layout(mine).items())) ^ set(map(str, layout(theirs).items())))
    tap.ok({k: (here_kinds.get(k), says.get(k)) for k in told_by} == {k: (their_kinds[k], v) for k, v in told_by.items()}, "so is every key, as the same type")
    mean = lambda name: float(np.mean(np.abs(numbers(*mine[name][::2]))))
    tap.ok(mean("state_mean") == 0 and mean("action_std") == mean("vlm.output_norm.weight") == 1 and 0 < mean("vit.patch_embd.weight") < 0.04, "what no graph reads has values, too")
    code, text = run(drawn, os.path.join(tiny, "caseA"))
    tap.ok(code == 0, "and it runs", text)
for say, sentence in (('attrs = { n = { 1, as = "f99" } }', 'attribute n: want a number and its format as { 0.1, as = "f64" }'),
                      ('attrs = { n = { "x", as = "f64" } }', 'attribute n: want a number and its format as { 0.1, as = "f64" }'),
                      ('attrs = {}, others = { { "a.weight", "f32[N]" } }', "the symbol N has no value"), ('attrs = {}, others = { { "a.weight" } }', 'others: want { "a.weight", "f32[2,3]" }')):
    done = subprocess.run([evla, "repl", "--trust"], cwd=work.name, capture_output=True, text=True,
                          input='print(pcall(evla.seed, { model = evla.model "llama" { layers = 1 }, path = "no.gguf", seed = 1, format = function() return "f32" end, ' + say + " }))\nprint(7)\n")
    tap.ok(done.stdout.startswith("false\t") and sentence in done.stdout and done.stdout.endswith("7\n") and not os.path.exists(at("no.gguf")), f"{say}: is refused in a sentence", done.stdout + done.stderr)

# ---- what is wrong ----


def refused(title, sentence, model, case, *words):
    code, text = run(model, case, *words)
    tap.ok(code in (1, 2) and sentence in text and len(text.strip().splitlines()) <= 2, title + " is refused in a sentence", text)


refused("one camera of two", "has 1 cameras and 12 tokens; want 2 cameras and 12 tokens", gguf, copy_case("one", images=lambda b: b[:49152]), "--cameras", "2")
refused("half an image", "images.u8 holds 73728 bytes, no whole number of images of 49152", gguf, copy_case("half", images=lambda b: b[:73728]))
refused("a state of 8 numbers", "input state: ", gguf, copy_case("state", state=lambda b: b[:32]))
refused("a text of 49 tokens", "the text has 49 tokens; the model was trained with at most 48 (tokenizer_max_length)", gguf,
        copy_case("long", tokens=lambda b: b[:4] * 49))
rest = ["--picture", ",".join(cameras)]
with open(cameras[0], "rb") as f:
    whole = f.read()
for name, part in (("half.png", whole[: len(whole) // 2]), ("liar.png", whole[:16] + struct.pack(">I", 300) + whole[20:])):
    with open(at(name), "wb") as f:
        f.write(part)
    refused(name, "no whole PNG picture", gguf, None, "--picture", at(name), *told)
refused("no picture", "is no picture of a known format", gguf, None, "--picture", at("tokenizer.json"), *told)
refused("a state of 3 numbers", "its statistics are of a state of 8 numbers (state_mean); got 3", gguf, None, *rest, *told[:4], "--state", "1,2,3")
refused("a text of 63 tokens", "the text has 63 tokens; the model was trained with at most 48 (tokenizer_max_length)", gguf, None, *rest, *told[:2],
        "--instruction", "x" * 60, *told[4:])
refused("a text without a tokenizer", "it has no tokenizer of its own, and there is no", gguf, None, *rest, *told[2:])
letters_tokenizer(at("larger.json"), 50000, 400)
refused("another model's tokenizer", "has 50000 tokens, but", gguf, None, *rest, "--tokenizer", at("larger.json"), *told[2:])
refused("a token beyond the vocabulary", "embedding", gguf, copy_case("token", tokens=lambda b: b[:44] + b"\x80\xc0\x00\x00"))
refused("weights of another architecture", "its tensors are those of no policy that is known", os.path.join(data, "llm", "stories260K-f32.gguf"), None)


def folder(name, config=None, stats=None, tensors=None):
    """the safetensors with other files beside it, or without some of its tensors"""
    os.makedirs(at(name))
    for file, change in (("config.json", config), ("stats.json", stats)):
        with open(os.path.join(tiny, file)) as f:
            v = json.load(f)
        if change:
            v = change(v)
        if v is not None:
            with open(at(name, file), "w") as f:
                json.dump(v, f)
    if not tensors:
        os.symlink(hf, at(name, "model.safetensors"))
        return at(name, "model.safetensors")
    with open(hf, "rb") as f:
        n = int.from_bytes(f.read(8), "little")
        head, rest = json.loads(f.read(n)), f.read()
    head = {tensors(k): v for k, v in head.items()}
    text = json.dumps(head).encode()
    with open(at(name, "model.safetensors"), "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text + rest)
    return at(name, "model.safetensors")


case = os.path.join(tiny, "caseA")
refused("no statistics", "the statistics state_mean are missing", folder("nostats", stats=lambda s: None), case)
refused("no action's spread", "the statistics action_std are missing", folder("nostd", stats=lambda s: {k: v for k, v in s.items() if k != "action_std"}), case)
refused("no config", "there is no config.json beside it", folder("noconfig", config=lambda c: None), case)
refused("no steps", "num_steps is missing", folder("nosteps", config=lambda c: {k: v for k, v in c.items() if k != "num_steps"}), case)
refused("three cameras of two", "it sees through 3 cameras (input_features); got 2",
        folder("cameras", config=lambda c: dict(c, input_features={f"observation.images.{i}": {"type": "VISUAL"} for i in range(3)})), case)
visual = lambda *names: lambda c: dict(c, empty_cameras=1, input_features={"observation.images." + n: {"type": "VISUAL"} for n in names})
refused("a picture too few", "it sees through 2 cameras (input_features); got 1", folder("few", config=visual("top", "wrist", "empty_camera_0")), None,
        "--picture", cameras[0], *told)
code, text = run(folder("enough", config=visual("top", "wrist", "empty_camera_0")), None, *rest, *told)
tap.ok(code == 0, "empty cameras want no pictures", text)
refused("an expert on every second layer", "num_expert_layers is 3, below the 4 layers of its language model",
        folder("experts", tensors=lambda k: k.replace("lm_expert.layers.3.", "lm_expert.layerz.3.")), case)
refused("a missing weight", "it holds no weight model.state_proj.bias", folder("less", tensors=lambda k: k.replace("state_proj.bias", "state_proj.bios")), case)
long = "model.vlm_with_expert.vlm.model.vision_model.encoder.layers.1.self_attn.out_proj.bias"
refused("one with a long name, whole", f"it holds no weight {long} (1 of ", folder("longname", tensors=lambda k: k + ".not" if k == long else k), case)
for name in ("text_model.layers.3.self_attn.k_proj.weight", "vision_model.encoder.layers.1.mlp.fc1.weight", "lm_expert.layers.3.self_attn.k_proj.weight"):
    refused("a last layer without " + name, f"{name}", folder("last" + name, tensors=lambda k: k + ".not" if k.endswith(name) else k), case)
for name, v, sentence in (
        ("type", "pi0", "type is pi0; only smolvla is supported"), ("attention_mode", "self_attn", "attention_mode is self_attn; only cross_attn"),
        ("add_image_special_tokens", True, "add_image_special_tokens is true; only false"), ("adapt_to_pi_aloha", True, "adapt_to_pi_aloha is true; only false"),
        ("normalization_mapping", {"VISUAL": "IDENTITY", "STATE": "MEAN_STD", "ACTION": "MIN_MAX"}, "normalization_mapping.ACTION is MIN_MAX; only MEAN_STD"),
        ("resize_imgs_with_padding", [512, 512], "resize_imgs_with_padding is 512 x 512; its vision tower has positions for 128 x 128"),
        ("num_expert_layers", 2, "num_expert_layers is 2; there are 4 layers of the language model"), ("num_vlm_layers", 16, "num_vlm_layers is 16; there are 4"),
        ("max_action_dim", 16, "max_action_dim is 16; there are 32"), ("head_dim", 48, "which are no heads of 48 (head_dim)"), ("head_dim", 0, "no heads of 0 (head_dim)"),
        ("input_features", {"observation.state": {"type": "STATE", "shape": [14]}}, "input_features.observation.state is of 14 numbers; its statistics are of 8"),
        ("output_features", {"action": {"type": "ACTION", "shape": [6]}}, "output_features.action is of 6 numbers; its statistics are of 7")):
    refused(f"{name} of another model", sentence, folder(f"said{name}{v}".replace("/", "")[:60], config=lambda c: dict(c, **{name: v})), case)
given = dict(type="smolvla", attention_mode="cross_attn", add_image_special_tokens=False, num_expert_layers=-1, num_vlm_layers=4, prefix_length=-1, max_state_dim=32,
             normalization_mapping={"VISUAL": "IDENTITY", "STATE": "MEAN_STD", "ACTION": "MEAN_STD"}, resize_imgs_with_padding=[128, 128], pad_language_to="longest")
code, text = run(folder("lerobots", config=lambda c: dict(c, **given)), case, dump=at("lerobots_d"))
same = code == 0 and np.array_equal(np.load(at("lerobots_d", "action.npy")), np.load(at("caseA.safetensors", "action.npy")))
tap.ok(same, "what lerobot's code writes into its config.json changes nothing", text)
refused("another architecture", "it is a policy of the architecture mini_vla; want smolvla", os.path.join(data, "vla", "mini_vla_libero.safetensors"), case)

# every weight in bf16, as lerobot's own checkpoint has them: in f32 they are the same numbers
half = folder("half_all", tensors=lambda k: k)
with open(half, "rb") as f:
    n = int.from_bytes(f.read(8), "little")
    head, rest = json.loads(f.read(n)), f.read()
body = b""
for t in head.values():
    raw = rest[slice(*t.get("data_offsets", (0, 0)))]
    if t.get("dtype") == "F32":
        wide = np.frombuffer(raw, "<u4")
        assert not (wide & 0xffff).any()  # the tiny weights are such numbers
        raw, t["dtype"] = (wide >> 16).astype("<u2").tobytes(), "BF16"
    if "data_offsets" in t:
        t["data_offsets"] = [len(body), len(body) + len(raw)]
        body += raw
text = json.dumps(head).encode()
with open(half, "wb") as f:
    f.write(len(text).to_bytes(8, "little") + text + body)
code, text = run(half, case, dump=at("half_d"))
e = off(np.load(at("half_d", "action.npy")), truth("caseA", "action")) if code == 0 else 9
tap.ok(e <= 3 * torch["caseA"]["action"], f"weights that are all in bf16 are exact in f32: action off by {e:.2g}", text)
tap.done()
