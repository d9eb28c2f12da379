#!/usr/bin/python3
"""smolvla.t -- pipelines/smolvla.lua on smolvla_tiny, from the GGUF file and from the safetensors: every stage against float64, three
times as exact as PyTorch is in f32 at worst (smolvla_torch.py); number formats; what is refused, and how."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
import tap
from op_oracle import np

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
for numbers, most in (("bf16", 0.02), ("q8_0", 0.08), ("q4_0", 0.5)):
    code, text = run(gguf, os.path.join(tiny, "caseA"), "--type", numbers, dump=at(numbers))
    if tap.ok(code == 0, f"{numbers}: runs", text):
        e = errors("caseA", at(numbers))
        tap.ok(1e-4 < e["action"] <= most, f"{numbers}: action off by {e['action']:.3g} of seeded weights, at most {most}", e)
        print("# " + ", ".join(f"{n} {e[n]:.2g}" for n in ("vit_out_v0", "img_emb_v0", "prefix_embs", "vlm_l2_out", "k_cache_l3", "s0_aex_l3_out", "s3_x_t")))
code, text = run(gguf, None, "--type", "q3_x")
tap.ok(code == 2 and 'no type is called "q3_x"; want one of' in text, "an unknown format is refused by name", text)

# ---- what is wrong ----


def copy_case(name, **changed):
    """caseA with other bytes in some files"""
    os.makedirs(at(name))
    for file in ("images.u8", "tokens.i32", "state.f32", "noise.f32"):
        with open(os.path.join(tiny, "caseA", file), "rb") as f:
            bytes = f.read()
        with open(at(name, file), "wb") as f:
            f.write(changed.get(file.split(".")[0], lambda b: b)(bytes))
    return at(name)


def refused(title, sentence, model, case, *words):
    code, text = run(model, case, *words)
    tap.ok(code in (1, 2) and sentence in text and len(text.strip().splitlines()) <= 2, title + " is refused in a sentence", text)


refused("one camera of two", "input images: ", gguf, copy_case("one", images=lambda b: b[:49152]), "--cameras", "2")
refused("half an image", "images.u8 holds 73728 bytes, no whole number of images of 49152", gguf, copy_case("half", images=lambda b: b[:73728]))
refused("a state of 8 numbers", "input state: ", gguf, copy_case("state", state=lambda b: b[:32]))
refused("a text of 49 tokens", "the text has 49 tokens; the model was trained with at most 48 (tokenizer_max_length)", gguf,
        copy_case("long", tokens=lambda b: b[:4] * 49))
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
refused("an expert on every second layer", "num_expert_layers is 3, below the 4 layers of its language model",
        folder("experts", tensors=lambda k: k.replace("lm_expert.layers.3.", "lm_expert.layerz.3.")), case)
refused("a missing weight", "it holds no weight model.state_proj.bias", folder("less", tensors=lambda k: k.replace("state_proj.bias", "state_proj.bios")), case)
tap.done()
