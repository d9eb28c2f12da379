#!/usr/bin/python3
"""safetensors.t -- weights from and to safetensors files: what Python's struct, json and numpy read and write is what evla does.

The oracle is the format's own text (an 8-byte length, a JSON header, data); PyTorch, where it is installed, for bf16."""
import json
import os
import struct
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
import tap
from bundle import bundle
from op_oracle import np

root = os.path.dirname(here)
build = os.path.abspath(os.environ.get("EVLA_BUILD", os.path.join(root, "build")))
evla = os.path.join(build, "evla")
data = os.environ.get("EVLA_TEST_DATA", os.path.join(root, "..", "shared", "data"))
for need in ("ops", "half", "safetensors"):
    if not os.path.exists(os.path.join(build, "plugins", need + ".so")):
        print("1..0 # SKIP the plugin %s is not built" % need)
        sys.exit(0)
NAMES = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "I8": "i1", "I16": "<i2", "I32": "<i4", "I64": "<i8", "U8": "u1", "U16": "<u2",
         "U32": "<u4", "U64": "<u8", "BOOL": "?", "BF16": "<u2"}


def run(*words, cwd=None):
    r = subprocess.run([evla, *words], cwd=cwd or work, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)
    return r.returncode, r.stdout + r.stderr


def write(path, tensors, metadata=None, pad=b""):
    """tensors: name -> (dtype, array), in the order of the data"""
    header, body = {}, b""
    if metadata is not None:
        header["__metadata__"] = metadata
    for name, (dtype, a) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(a.shape), "data_offsets": [len(body), len(body) + a.nbytes]}
        body += a.tobytes()
    head = json.dumps(header).encode() + pad
    with open(os.path.join(work, path), "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head + body)


def read(path):
    with open(os.path.join(work, path), "rb") as f:
        raw = f.read()
    n, = struct.unpack("<Q", raw[:8])
    assert n % 8 == 0, "the header is padded to 8 bytes"
    header = json.loads(raw[8:8 + n], object_pairs_hook=lambda p: dict(p) if len(dict(p)) == len(p) else 1 / 0)
    metadata, out, spans = header.pop("__metadata__", {}), {}, []
    for name, t in header.items():
        a, b = t["data_offsets"]
        spans.append((a, b))
        assert a % np.dtype(NAMES[t["dtype"]]).itemsize == 0, "aligned to its element"
        out[name] = t["dtype"], np.frombuffer(raw[8 + n + a:8 + n + b], NAMES[t["dtype"]]).reshape(t["shape"])
    at = 0
    for a, b in sorted(spans):
        assert a == at, "no hole, no overlap"
        at = b
    assert at == len(raw) - 8 - n and list(header) == sorted(header)
    return out, metadata


def program(name, text):
    with open(os.path.join(work, name), "w") as f:
        f.write('local evla = require "evla"\n' + text)


def weights(layers=1, width=16):
    rng = np.random.default_rng(3)
    shapes = {"head.w": (7, width), "head.b": (7,)}
    for i in range(1, layers + 1):
        shapes.update({f"blk.{i}.w": (width, 9 if i == 1 else width), f"blk.{i}.b": (width,)})
    return {k: rng.standard_normal(s).astype(np.float32) for k, s in shapes.items()}


with tempfile.TemporaryDirectory(prefix="evla-safetensors-") as work:
    at = lambda *p: os.path.join(work, *p)

    # a model's weights from a file, and out again
    w = weights()
    write("in.safetensors", {k: ("F32", v) for k, v in w.items()}, {"format": "pt", "note": "caf\u00e9 \u2615\n\"quoted\""}, b" ")
    program("trip.lua", '''local m = evla.model "mlp" { layers = 1, width = 16, weights = "in.safetensors" }
local out = evla.export "out" { model = m, path = "weights/policy.safetensors", metadata = { format = "pt", a = "1" } }
return evla.program { m, evla.apply "run" { model = m, symbols = { B = 3 }, runs = 1 }, out }
''')
    code, text = run("run", "trip.lua", "--out", "o")
    tap.ok(code == 0, "weights come from the file, at odd places in it" + ("" if code == 0 else ": " + text))
    ours = bundle(at("o/trip/mlp/mlp.evla"))[1]
    tap.ok(set(ours) == {"w:" + k for k in w} and all((ours["w:" + k] == v).all() for k, v in w.items()), "bit for bit")
    back, metadata = read("o/trip/out/weights/policy.safetensors")
    tap.ok(set(back) == set(w) and all(d == "F32" and a.tobytes() == w[k].tobytes() and a.shape == w[k].shape for k, (d, a) in back.items()),
           "evla.export writes them, and Python reads the same bits")
    tap.ok(metadata == {"a": "1", "format": "pt"}, "with the metadata it was given")
    with open(at("o/trip/out/job.json")) as f:
        job = json.load(f)
    tap.ok(job["figures"] == {"tensors": 4, "bytes": os.path.getsize(at("o/trip/out/weights/policy.safetensors"))} and job["result_type"] == "weights",
           "and the figures count them")
    program("again.lua", '''local m = evla.model "mlp" { layers = 1, width = 16, weights = "o/trip/out/weights/policy.safetensors" }
return evla.program { evla.export "out" { model = m, path = "p.safetensors", metadata = { a = "1", format = "pt" } } }
''')
    code, text = run("run", "again.lua", "--out", "o")
    with open(at("o/again/out/p.safetensors"), "rb") as f, open(at("o/trip/out/weights/policy.safetensors"), "rb") as g:
        tap.ok(code == 0 and f.read() == g.read(), "read and written again, it is the same file, byte for byte")
    tap.ok(not [n for n in os.listdir(at("o/again/out")) if "tmp" in n], "no half-written file is left")
    code, text = run("run", "trip.lua", "--out", "o", "--json")
    tap.ok(code == 0 and all(j["state"] == "skipped" for j in json.loads(text[text.index("{"):text.rindex("}") + 1])["jobs"]), "a second run has nothing to do")
    w["head.b"] = w["head.b"] + 1
    write("in.safetensors", {k: ("F32", v) for k, v in w.items()})
    code, text = run("run", "trip.lua", "--out", "o")
    tap.ok(code == 0 and (bundle(at("o/trip/mlp/mlp.evla"))[1]["w:head.b"] == w["head.b"]).all(), "a changed file makes the model again")

    # 16-bit floats become f32: all of them
    halves = np.arange(65536, dtype=np.uint16)
    wide = {"blk.1.w": np.zeros((65536 // 9 + 1, 9), np.uint16)}
    wide["blk.1.w"].ravel()[:65536] = halves
    rows = wide["blk.1.w"].shape[0]
    for dtype in ("F16", "BF16"):
        write("half.safetensors", {"pad": ("U8", np.zeros(3, np.uint8)), "blk.1.w": (dtype, wide["blk.1.w"]), "blk.1.b": (dtype, np.zeros(rows, np.uint16)),
                                   "head.w": ("F32", np.zeros((7, rows), np.float32)), "head.b": ("F32", np.zeros(7, np.float32))})
        program("half.lua", 'return evla.program { evla.model "mlp" { layers = 1, width = %d, weights = "half.safetensors", others = "leave" } }\n' % rows)
        code, text = run("run", "half.lua", "--out", dtype)
        got = bundle(at(dtype, "half/mlp/mlp.evla"))[1]["w:blk.1.w"].ravel()[:65536] if code == 0 else np.zeros(65536, np.float32)
        want = halves.view(np.float16).astype(np.float32) if dtype == "F16" else (halves.astype(np.uint32) << 16).view(np.float32)
        same = (got == want) | (np.isnan(got) & np.isnan(want))
        tap.ok(code == 0 and same.all(), f"every {dtype} code becomes the f32 that numpy makes of it" + ("" if code == 0 else ": " + text))
    try:
        import torch
        x = torch.randn(16, 9)
        w["blk.1.w"] = x.to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
        write("torch.safetensors", {k: ("BF16" if k == "blk.1.w" else "F32", v) for k, v in w.items()})
        program("torch.lua", 'return evla.program { evla.model "mlp" { layers = 1, width = 16, weights = "torch.safetensors" } }\n')
        code, text = run("run", "torch.lua", "--out", "o")
        tap.ok(code == 0 and (bundle(at("o/torch/mlp/mlp.evla"))[1]["w:blk.1.w"] == x.to(torch.bfloat16).float().numpy()).all(),
               "a weight that PyTorch rounded to bf16 is PyTorch's own f32 of it" + ("" if code == 0 else ": " + text))
    except ImportError:
        print("# PyTorch is not installed: bf16 is compared with numpy only")

    # names and types that do not fit
    w = weights()

    def refused(title, tensors, *parts, more=""):
        write("bad.safetensors", tensors)
        program("bad.lua", 'return evla.program { evla.model "mlp" { layers = 1, width = 16, weights = "bad.safetensors"%s } }\n' % more)
        code, text = run("check", "bad.lua")
        first = text.splitlines()[0] if text else ""
        tap.ok(code == 2 and all(p in first for p in parts) and "bad.lua:2: " in first, f"{title}: {first}")

    full = {k: ("F32", v) for k, v in w.items()}
    without = {k: v for k, v in full.items() if k != "blk.1.w"}
    refused("a weight that is missing", without, "bad.safetensors: it holds no weight blk.1.w (1 of 4)")
    refused("under another name", {**without, "blk.1.weight": full["blk.1.w"], "step": ("I64", np.array(3))},
            "it holds no weight blk.1.w (1 of 4), but has blk.1.weight, step, which no weight is called (2 of 5); is its blk.1.weight meant?")
    refused("a tensor too many", {**full, "blk.2.w": full["blk.1.w"]}, 'it holds blk.2.w, which no weight is called (1 of 5); others = "leave" leaves them out')
    refused("many too many", {**full, **{f"more.{i}": full["head.b"] for i in range(9)}}, "it holds more.0, more.1, more.2 and 6 more, which no weight is called (9 of 13)")
    refused("another shape", {**full, "head.b": ("F32", np.zeros(8, np.float32))}, "bad.safetensors: weight head.b: want f32[7], found f32[8]")
    refused("rows that are cut", {**full, "head.w": ("F32", np.zeros((7, 16), np.float32).reshape(28, 4))}, "want f32[7,16], found f32[28,4]")
    refused("integers for f32", {**full, "head.b": ("I32", np.zeros(7, np.int32))}, "want f32[7], found i32[7]")
    refused("f64 for f32", {**full, "head.b": ("F64", np.zeros(7))}, "want f32[7], found f64[7]")
    refused("a number format nobody has", {**full, "head.b": ("F99", np.zeros(7, np.uint8))}, 'tensor head.b: dtype "F99" is unknown')
    write("cut.safetensors", full)
    raw = open(at("cut.safetensors"), "rb").read()
    for name, text, why in (("cut.safetensors", raw[:-1], "was it cut off?"), ("none.bin", b"\1\2\3", "is no saved model and of no format that is loaded (gguf, npy, safetensors)"),
                            ("empty.safetensors", b"", "is too short for a safetensors file"), ("deep.safetensors", struct.pack("<Q", 99) + b'{"a":' * 20, 'it has "a"; want dtype, shape and data_offsets')):
        with open(at(name), "wb") as f:
            f.write(text)
        program("bad.lua", 'return evla.program { evla.model "mlp" { layers = 1, width = 16, weights = "%s" } }\n' % name)
        code, text = run("check", "bad.lua")
        tap.ok(code == 3 and why in text, f"{name} is refused with 3: {text.strip()[-100:]}")
    for path, why in (("p.bin", 'no loaded format writes "p.bin"; want a name that ends in one of: .gguf, .npy, .safetensors'), ("../p.safetensors", "want a name below the job's folder"),
                      ("/tmp/p.safetensors", "want a name below the job's folder")):
        program("bad.lua", 'local m = evla.model "mlp" {}\nreturn evla.program { evla.export "out" { model = m, path = "%s" } }\n' % path)
        code, text = run("check", "bad.lua")
        tap.ok(code == 2 and 'bad.lua:3: ' in text and why in text, f"export to {path}: {text.strip()}")

    # a model of integers and halves goes out as it is
    os.mkdir(at("models"))
    with open(at("models/codes.lua"), "w") as f:
        f.write('''return function(p)
  return { main = function(g)
    local q = g:weight("q", "i8[3,5]")
    local s = g:weight("s", "f32[3,1]")
    local h = g:weight("h", "f16[5]")
    g:output("y", g.mul { g.cast { q, to = "f32" }, s })
    g:output("z", g.cast { h, to = "f32" })
  end }
end
''')
    q, s, h = np.arange(-7, 8, dtype=np.int8).reshape(3, 5), np.array([[.5], [2], [-1]], np.float32), np.arange(5, dtype=np.float16)
    write("codes.safetensors", {"q": ("I8", q), "h": ("F16", h), "s": ("F32", s)})
    program("codes.lua", '''local m = evla.model "codes" { weights = "codes.safetensors" }
return evla.program { evla.apply "run" { model = m, runs = 1 }, evla.export "out" { model = m, path = "q.safetensors" } }
''')
    code, text = run("run", "codes.lua", "--out", "o")
    back = read("o/codes/out/q.safetensors")[0] if code == 0 else {}
    tap.ok(code == 0 and (back["q"][1] == q).all() and back["q"][0] == "I8" and (back["s"][1] == s).all() and back["h"][0] == "F16" and (back["h"][1] == h).all(),
           "codes of i8, scales of f32 and f16 go in and out as they are" + ("" if code == 0 else ": " + text))
    y = bundle(at("o/codes/run/outputs.evla"))[1]["o:y"] if code == 0 else q
    tap.ok((y == q * s).all(), "and mean what they say")

    # a model in several files, by their index
    w = weights()
    names = sorted(w)
    for i in range(2):
        write(f"model-{i + 1:05}-of-00002.safetensors", {k: ("F32", w[k]) for k in names[i::2]}, {"format": "pt"})
    index = {"metadata": {"total_size": sum(v.nbytes for v in w.values())}, "weight_map": {k: f"model-{i % 2 + 1:05}-of-00002.safetensors" for i, k in enumerate(names)}}
    with open(at("model.safetensors.index.json"), "w") as f:
        json.dump(index, f, indent=2)
    program("shards.lua", '''local m = evla.model "mlp" { layers = 1, width = 16, weights = "model.safetensors.index.json" }
return evla.program { m, evla.export "out" { model = m, path = "whole.safetensors", metadata = { format = "pt" } } }
''')
    code, text = run("run", "shards.lua", "--out", "o")
    back = read("o/shards/out/whole.safetensors") if code == 0 else ({}, {})
    tap.ok(set(back[0]) == set(w) and all(back[0][k][1].tobytes() == v.tobytes() for k, v in w.items()), "weights come from several files by their index" + ("" if code == 0 else ": " + text))
    w[names[1]] = w[names[1]] + 1
    write("model-00002-of-00002.safetensors", {k: ("F32", w[k]) for k in names[1::2]}, {"format": "pt"})
    code, text = run("run", "shards.lua", "--out", "o")
    tap.ok(code == 0 and (read("o/shards/out/whole.safetensors")[0][names[1]][1] == w[names[1]]).all(), "a changed file behind the same index makes the model again")
    code, text = run("inspect", "model.safetensors.index.json")
    tap.ok(code == 0 and "safetensors, 4 tensors" in text and "format  pt" in text, "evla inspect shows the whole: " + text.splitlines()[0])
    os.rename(at("model.safetensors.index.json"), at("anything"))
    code, text = run("inspect", "anything")
    tap.ok(code == 0 and "4 tensors" in text, "an index is told by its content: " + text.splitlines()[0])
    os.remove(at("model-00002-of-00002.safetensors"))
    code, text = run("inspect", "anything")
    tap.ok(code == 3 and text == "evla: anything: its file model-00002-of-00002.safetensors is not there\n", "a missing file is one sentence: " + text.strip())

    # evla inspect
    x = np.array([[1, -2.5, np.nan], [np.inf, 4, 0]], np.float32)
    odd = {"a": ("U8", np.array([7], np.uint8)), "x": ("F32", x), "h": ("F16", np.array([1.5, -3], np.float16)), "i": ("I64", np.array([-2 ** 40, 5])),
           "b": ("BF16", (np.array([2, -8], np.float32).view(np.uint32) >> 16).astype(np.uint16)), "none": ("F64", np.zeros((0, 4))), "t": ("BOOL", np.array([True, False]))}
    write("odd.bin", odd, {"k": "two\nlines", "esc": "\x1b[31m"})
    code, text = run("inspect", "odd.bin")
    tap.ok(code == 0 and "safetensors, 7 tensors, 15 numbers" in text and "two lines" in text and "\x1b" not in text, "evla inspect tells a file by its content: " + text.splitlines()[0])
    code, text = run("inspect", "odd.bin", "--json")
    t = {r["name"]: r for r in json.loads(text)["tensors"]} if code == 0 else {}
    tap.ok(code == 0 and {k: r["type"] for k, r in t.items()} == {"a": "u8[1]", "x": "f32[2,3]", "h": "f16[2]", "i": "i64[2]", "b": "bf16[2]", "none": "f64[0,4]", "t": "bool[2]"},
           "types and shapes" + ("" if code == 0 else ": " + text))
    tap.ok(code == 0 and [t["x"][k] for k in ("min", "max", "mean", "not_finite")] == [-2.5, 4, 0.625, 2] and (t["h"]["min"], t["h"]["max"]) == (-3, 1.5) and
           (t["i"]["max"], t["b"]["max"], t["b"]["min"]) == (5, 2, -8) and np.isclose(t["i"]["min"], -2.0 ** 40, rtol=1e-9) and "min" not in t["none"], "ranges of finite values, at any alignment")
    write("wrong.safetensors", {"a": ("F32", np.zeros(3, np.float32))})
    with open(at("wrong.safetensors"), "ab") as f:
        f.write(b"x")
    r = subprocess.run([evla, "inspect", "wrong.safetensors"], cwd=work, capture_output=True, text=True)
    tap.ok(r.returncode == 3 and r.stderr == "evla: wrong.safetensors: the last 1 bytes belong to no tensor\n", "what is refused is one sentence and exit code 3: " + r.stderr.strip())
    r = subprocess.run([evla, "repl"], cwd=work, capture_output=True, text=True, input='t = evla.tensors "odd.bin"\n#t\nt.x\nt.h:stats().min\nt.attrs.k\nt.nothing\n')
    tap.ok(r.returncode == 0 and "f32[2,3]" in r.stdout and "-3" in r.stdout, "the prompt has them as evla.tensors" + ("" if r.returncode == 0 else r.stderr))

    # real files
    for name, n, parameters in (("vla/mini_vla_libero.safetensors", 38, 301239), ("smolvla_tiny/model.safetensors", 123, 7754976)):
        path = os.path.join(data, name)
        if not os.path.exists(path):
            tap.ok(True, f"{name} # SKIP EVLA_TEST_DATA does not hold it")
            continue
        code, text = run("inspect", os.path.abspath(path), "--json")
        told = json.loads(text) if code == 0 else {"tensors": []}
        raw = open(path, "rb").read()
        k, = struct.unpack("<Q", raw[:8])
        header = json.loads(raw[8:8 + k])
        metadata = header.pop("__metadata__", {})
        good = code == 0 and told["parameters"] == parameters and len(told["tensors"]) == n == len(header) and (told["attrs"] or {}) == metadata
        for r in told["tensors"]:
            t = header[r["name"]]
            a, b = t["data_offsets"]
            v = np.frombuffer(raw, NAMES[t["dtype"]], (b - a) // np.dtype(NAMES[t["dtype"]]).itemsize, 8 + k + a)
            if t["dtype"] == "BF16":
                v = (v.astype(np.uint32) << 16).view(np.float32)
            good = good and r["type"] == f"{t['dtype'].lower()}[{','.join(map(str, t['shape']))}]" and bool(np.allclose([r["min"], r["max"]], [v.min(), v.max()], rtol=1e-9, atol=0))
        tap.ok(good, f"{name}: every type and range is numpy's" + ("" if code == 0 else ": " + text))
tap.done()
