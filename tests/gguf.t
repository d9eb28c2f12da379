#!/usr/bin/python3
"""gguf.t -- weights from and to GGUF files: what Python's struct and numpy read and write after docs/gguf.md is what evla does.

Further oracles: llama2.c's own layout for a trained model, a safetensors file of the same numbers, ggml's values of blocks."""
import json
import os
import struct
import subprocess
import sys
import tempfile
import time

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
import tap
from gguf import BOOL, F32, IDS, LIST, TEXT, TYPES, U8, U32, numbers, read, text, write
from op_oracle import np

root = os.path.dirname(here)
build = os.path.abspath(os.environ.get("EVLA_BUILD", os.path.join(root, "build")))
evla = os.path.join(build, "evla")
data = os.path.abspath(os.environ.get("EVLA_TEST_DATA", os.path.join(root, "..", "shared", "data")))
tap.need(evla, *(os.path.join(build, "plugins", p + ".so") for p in ("ops", "half", "gguf", "safetensors")))
golden = np.load(os.path.join(here, "golden", "ggml_blocks.npz"))

def run(*words):
    r = subprocess.run([evla, *words], cwd=work, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)
    return r.returncode, r.stdout + r.stderr


def through(name, source, tensors, out):
    """a model that has just these weights takes them from one file and is exported as another"""
    os.makedirs(os.path.join(work, "models"), exist_ok=True)
    rows = "\n".join(f'    g:output("o{i}", g:weight("{n}", "{kind}[{",".join(map(str, shape))}]"))' for i, (n, (kind, shape, _)) in enumerate(tensors.items()))
    with open(os.path.join(work, "models", name + ".lua"), "w") as f:
        f.write("return function(p)\n  return { main = function(g)\n" + rows + "\n  end }\nend\n")
    with open(os.path.join(work, name + "_run.lua"), "w") as f:
        f.write(f'local evla = require "evla"\nlocal m = evla.model "{name}" {{ weights = "{source}" }}\n'
                f'return evla.program {{ m, evla.export "out" {{ model = m, path = "{out}", metadata = {{ note = "caf\u00e9" }} }} }}\n')
    code, said = run("run", name + "_run.lua", "--out", "o")
    return os.path.join(work, "o", name + "_run", "out", out), "" if code == 0 else said


def told(path):
    code, said = run("inspect", path, "--json")
    return json.loads(said) if code == 0 else said


with tempfile.TemporaryDirectory(prefix="evla-gguf-") as work:
    at = lambda *p: os.path.join(work, *p)
    rng = np.random.default_rng(3)

    # all number formats, in and out
    tensors = {"f32": ("f32", [2, 3], rng.standard_normal(6).astype("<f4").tobytes()), "f16": ("f16", [5], rng.standard_normal(5).astype("<f2").tobytes()),
               "bf16": ("bf16", [3, 1, 2], (rng.standard_normal(6).astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()),
               "f64": ("f64", [1], rng.standard_normal(1).tobytes())}
    for kind in ("i8", "i16", "i32", "i64"):
        tensors[kind] = kind, [7], rng.integers(-100, 100, 7).astype("<" + kind[0] + str(int(kind[1:]) // 8)).tobytes()
    for i, (kind, elements, size) in TYPES.items():
        if elements > 1:
            codes = golden[kind + ".codes"][:2 * 256 // elements]
            tensors[kind] = kind, [2, 256], codes.tobytes()
    write(at("all.gguf"), tensors)
    path, why = through("all", "all.gguf", tensors, "again.gguf")
    back, keys = read(path) if not why else ({}, {})
    tap.ok(back == tensors, f"weights of {len(tensors)} number formats come from a file and go into another, bit for bit", why)
    tap.ok(list(back) == sorted(back) and keys == {"note": "caf\u00e9".encode()}, "by name, with the metadata that was given", keys)
    left = [n for n in os.listdir(os.path.dirname(path)) if "tmp" in n] if not why else ["?"]
    tap.ok(not left, "no half-written file is left", left)
    info = told("all.gguf")
    t = {r["name"]: r for r in info["tensors"]}
    good = all(np.allclose([t[k]["min"], t[k]["max"]], [golden[k + ".values"][:512 // TYPES[IDS[k]][1]].min(), golden[k + ".values"][:512 // TYPES[IDS[k]][1]].max()], rtol=1e-9)
               for k in tensors if k[0] == "q")
    tap.ok(good and t["q4_k"]["type"] == "q4_k[2,256]" and t["q4_k"]["bytes"] == 288 and info["format"] == "gguf", "inspect tells the range of blocks as ggml decodes them", info)
    r = subprocess.run([evla, "repl"], cwd=work, capture_output=True, text=True, stdin=None, input="""t = evla.tensors "all.gguf"
for _, k in ipairs { "q4_0", "q4_k", "q6_k", "q8_0" } do local l = t[k]:list() print(k, ("%.9g"):format(l[1][3]), ("%.9g"):format(l[2][256]), ("%.9g"):format(t[k][2][200])) end
print(pcall(function() return t.q8_0[1]:slice(2, 33) end))
print(t.q8_0[1]:slice(33, 64)[1] == t.q8_0[1][33])
""")
    lines, good = r.stdout.splitlines(), r.returncode == 0
    for k, line in zip(("q4_0", "q4_k", "q6_k", "q8_0"), lines):
        v = golden[k + ".values"].ravel()
        good = good and line.split()[0] == k and [np.float32(x) for x in line.split()[1:]] == [v[2], v[511], v[256 + 199]]
    tap.ok(good, "numbers of blocks are there one by one in Lua", r.stdout + r.stderr)
    tap.ok("q8_0 is sliced in blocks of 32" in r.stdout and lines[-1] == "true", "a row of blocks is sliced between them", r.stdout)

    # metadata
    keys = [("general.architecture", TEXT, "tiny"), ("n", U32, 7), ("eps", F32, 1e-5), ("yes", BOOL, True), ("tokens", LIST, (TEXT, ["a", b"\xff\xfe", "caf\u00e9"] + [str(i) for i in range(20)])),
            ("scores", LIST, (F32, [0.5, -1.5])), ("flags", LIST, (BOOL, [True, False])), ("bytes", LIST, (U8, range(9))), ("none", LIST, (TEXT, []))]
    write(at("keys.gguf"), {"x": tensors["f32"]}, keys)
    code, said = run("inspect", "keys.gguf")
    tap.ok(code == 0 and said.startswith("keys.gguf: gguf, tiny, 1 tensor, 6 numbers") and '23 texts: "a", "\\xff\\xfe", "caf\u00e9", "0", "1", "2", ...' in said and "f32[2]: 0.5, -1.5\n" in said
           and "u8[9]: 0, 1, 2, 3, 4, 5, ..." in said and "0 texts" in said and "1e-05" in said, "inspect shows lists as their length and beginning", said)
    a = told("keys.gguf")["attrs"]
    tap.ok(a["n"] == 7 and a["yes"] == 1 and a["tokens"]["n"] == 23 and a["tokens"]["first"][:3] == ["a", "\ufffd\ufffd", "caf\u00e9"] and a["scores"] == {"type": "f32[2]", "n": 2, "first": [0.5, -1.5]}
           and a["flags"]["first"] == [1, 0] and a["none"]["first"] == [], "and so for programs", a)
    r = subprocess.run([evla, "repl"], cwd=work, capture_output=True, text=True, input="""a = evla.tensors("keys.gguf").attrs
collectgarbage() collectgarbage()
print(#a.tokens, a.tokens[1], a.tokens[2] == "\\xff\\xfe", a.tokens[23], a.tokens[24], a.tokens[0], a.scores[2], a.bytes[9])
for i, t in ipairs(a.tokens) do if i == 23 then print(i, t) end end
a.tokens
""")
    tap.ok(r.stdout.splitlines()[:2] == ["23\ta\ttrue\t19\tnil\tnil\t-1.5\t8", "23\t19"] and '23 texts: "a", "\\xff\\xfe"' in r.stdout, "lists of texts and numbers in Lua, which keep their file open", r.stdout + r.stderr)

    # a model in several files
    names = [n for n in tensors if n[0] == "q"]
    for i in range(3):
        part = {n: tensors[n] for n in names[i::3]}
        write(at(f"m-{i + 1:05}-of-00003.gguf"), part, ([("general.architecture", TEXT, "split")] if i == 0 else []) +
              [("split.no", 2, i), ("split.count", 2, 3), ("split.tensors.count", 5, len(names))])
    path, why = through("parts", "m-00001-of-00003.gguf", {n: tensors[n] for n in names}, "whole.gguf")
    tap.ok(not why and read(path)[0] == {n: tensors[n] for n in names}, "a model in three files comes out in one", why)
    code, said = run("inspect", "m-00002-of-00003.gguf")
    tap.ok(code == 0 and f"gguf, split, {len(names)} tensors" in said, "any part shows the whole", said)
    os.remove(at("m-00003-of-00003.gguf"))
    code, said = run("check", "parts_run.lua")
    tap.ok(code == 2 and "m-00003-of-00003.gguf: is not there, and" in said, f"a missing part is a mistake before anything runs, code {code}", said)

    # what is refused
    bad = dict(tensors, head=("f32", [2], b"\0" * 8))
    write(at("bad.gguf"), bad)
    raw = open(at("bad.gguf"), "rb").read()
    for title, bytes_, why in (("cut off", raw[:-40], "was it cut off?"), ("big-endian", b"GGUF\0\0\0\3" + raw[8:], "is big-endian; only little-endian files are read"),
                               ("of another type", raw.replace(text("head") + struct.pack("<IQI", 1, 2, 0), text("head") + struct.pack("<IQI", 1, 2, 10)), "tensor head: is in q2_k, a number format that no loaded plugin brings"),
                               ("of nothing", b"", "is empty")):
        with open(at("bad.gguf"), "wb") as f:
            f.write(bytes_)
        code, said = run("inspect", "bad.gguf")
        tap.ok(code == 3 and why in said and said.count("\n") == 1, f"a file {title}: {said.strip()}")

    # real files
    path = os.path.join(data, "llm", "stories260K-f32.gguf")
    if os.path.exists(path):
        model = read(path)[0]
        out, why = through("stories", path, model, "stories.gguf")
        mine = {n: numbers(k, raw).reshape(shape) for n, (k, shape, raw) in read(out)[0].items()} if not why else {}
        with open(os.path.join(data, "llm", "stories260K.bin"), "rb") as f:
            dim, hidden, layers, heads, kv_heads, vocab, length = struct.unpack("<7i", f.read(28))
            w = np.frombuffer(f.read(), "<f4")
        kv, used, good = dim * kv_heads // heads, 0, not why

        def next_of(*shape):
            global used
            used += int(np.prod(shape))
            return w[used - int(np.prod(shape)):used].reshape(shape)

        # the order of llama2.c's run.c
        for name, shape in (("token_embd", (vocab, dim)), ("attn_norm", (layers, dim)), ("attn_q", (layers, dim, dim)), ("attn_k", (layers, kv, dim)), ("attn_v", (layers, kv, dim)),
                            ("attn_output", (layers, dim, dim)), ("ffn_norm", (layers, dim)), ("ffn_gate", (layers, hidden, dim)), ("ffn_down", (layers, dim, hidden)),
                            ("ffn_up", (layers, hidden, dim)), ("output_norm", (dim,))):
            x = next_of(*shape)
            if name in ("token_embd", "output_norm"):
                good = good and mine.pop(name + ".weight").tobytes() == x.tobytes()
            for i in range(layers if "attn" in name or "ffn" in name else 0):
                good = good and mine.pop(f"blk.{i}.{name}.weight").tobytes() == x[i].tobytes()
        tap.ok(good and list(mine) == ["output.weight"], "stories260K: every number is that of llama2.c's file", why or list(mine))
    else:
        tap.skip("stories260K", "EVLA_TEST_DATA does not hold it")

    path = os.path.join(data, "smolvla_tiny", "smolvla-tiny.gguf")
    if os.path.exists(path):
        model = read(path)[0]
        out, why = through("smolvla", path, model, "smolvla.gguf")
        mine = [(n, numbers(k, raw)) for n, (k, shape, raw) in read(out)[0].items()] if not why else []
        with open(os.path.join(data, "smolvla_tiny", "model.safetensors"), "rb") as f:
            raw = f.read()
        k, = struct.unpack("<Q", raw[:8])
        header = json.loads(raw[8:8 + k])
        header.pop("__metadata__", None)
        theirs = {}
        for t in header.values():
            a, b = t["data_offsets"]
            v = numbers(t["dtype"].lower(), raw[8 + k + a:8 + k + b])
            theirs[v.astype("<f4").tobytes()] = theirs.get(v.astype("<f4").tobytes(), 0) + 1
        alone = []
        for name, v in mine:
            key = v.astype("<f4").tobytes()
            if theirs.get(key):
                theirs[key] -= 1
            else:
                alone.append(name)
        tap.ok(not why and sorted(alone) == ["action_mean", "action_std", "state_mean", "state_std"] and not any(theirs.values()),
               "smolvla-tiny: its tensors are those of model.safetensors, but for four statistics", why or alone)
    else:
        tap.skip("smolvla-tiny", "EVLA_TEST_DATA does not hold it")

    for name, tokens, merges in (("gpt-2", 50257, 50000), ("falcon", 65024, 64784), ("llama-spm", 32000, 0), ("phi-3", 32064, 0), ("bert-bge", 30522, 0)):
        path = os.path.join(data, "tokenizer", f"ggml-vocab-{name}.gguf")
        if not os.path.exists(path):
            tap.skip(name, "EVLA_TEST_DATA does not hold it")
            continue
        a = told(path)["attrs"]
        tap.ok(a["tokenizer.ggml.tokens"]["n"] == tokens == a["tokenizer.ggml.token_type"]["n"] and a.get("tokenizer.ggml.merges", {"n": 0})["n"] == merges,
               f"{name}: a vocabulary of {tokens} tokens and {merges} merges")
tap.done()
