#!/usr/bin/python3
"""vit.py BUILD -- `make bench-vla`: ViT-S/16 on a picture of 224 x 224 beside onnxruntime, in turns, in one run.

The peer is the npm package onnxruntime-node in BUILD/peers (tests/peers.sh), in f32 on as many threads, all of its graph optimisations on.
It gets the model as an ONNX file made of its own operators (LayerNormalization, Gelu, one MatMul for q, k and v), with the same
weights and pixels; the logits of both are compared before anything is said of speed. In bf16 and int8 attention's products
are of bf16, too. Without the peer the figure stands there that was
recorded on an idle machine of two cores (EPYC, AVX-512), marked "recorded".

A round runs the peer and each of evla's formats RUNS times, each engine in a process of its own that warms up once; the ratio is that of
the best times, medians stand beside them. ROUNDS=5 takes more rounds; THREADS=1 says more on a machine
that has other work.
"""
import json
import os
import struct
import subprocess
import sys
import tempfile

import numpy as np

here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [here, os.path.dirname(here)]
from bundle import bundle
from processes import has, machine

build = os.path.abspath(sys.argv[1])
packages = os.path.join(build, "peers")
rounds, runs, threads = (int(os.environ.get(name) or preset) for name, preset in (("ROUNDS", 3), ("RUNS", 30), ("THREADS", 2)))
IMAGE, PATCH, WIDTH, LAYERS, HEADS, HIDDEN, CLASSES = 224, 16, 384, 12, 6, 1536, 1000
SIDE = IMAGE // PATCH
RECORDED_MS = 50.6
# name, bar and aim of the ratio, how much faster its instructions are than f32's
FORMATS = [("f32", 1.05, 1.12, 1), ("bf16", 1.8, 2.1, 2 if has("avx512_bf16") else 1), ("int8", 2.5, 3.3, 4)]
work = tempfile.TemporaryDirectory(prefix="evla-bench-vit-")
at = lambda *name: os.path.join(work.name, *name)


# ---- the model ----

def weights():
    """under timm's names"""
    rng = np.random.default_rng(1)
    shapes = {"patch_embed.proj.weight": (WIDTH, 3, PATCH, PATCH), "patch_embed.proj.bias": (WIDTH,), "cls_token": (1, 1, WIDTH), "pos_embed": (1, SIDE * SIDE + 1, WIDTH),
              "norm.weight": (WIDTH,), "norm.bias": (WIDTH,), "head.weight": (CLASSES, WIDTH), "head.bias": (CLASSES,)}
    for i in range(LAYERS):
        for name, out, inside in (("attn.qkv", 3 * WIDTH, WIDTH), ("attn.proj", WIDTH, WIDTH), ("mlp.fc1", HIDDEN, WIDTH), ("mlp.fc2", WIDTH, HIDDEN)):
            shapes[f"blocks.{i}.{name}.weight"], shapes[f"blocks.{i}.{name}.bias"] = (out, inside), (out,)
        for name in ("norm1", "norm2"):
            shapes[f"blocks.{i}.{name}.weight"] = shapes[f"blocks.{i}.{name}.bias"] = (WIDTH,)
    out = {}
    for k, s in shapes.items():
        scale = 1 / np.sqrt(np.prod(s[1:])) if k.endswith("weight") and len(s) > 1 else 0.1
        out[k] = (rng.standard_normal(s) * scale + ("norm" in k and k.endswith("weight"))).astype(np.float32)
    return out


def write_safetensors(path, tensors, half):
    header, body = {}, b""
    for name, v in tensors.items():
        raw = v.tobytes()
        if half:  # to the nearest even
            u = v.view(np.uint32).astype(np.uint64)
            raw = ((u + 0x7fff + (u >> 16 & 1)) >> 16).astype(np.uint16).tobytes()
        header[name] = {"dtype": "BF16" if half else "F32", "shape": list(v.shape), "data_offsets": [len(body), len(body) + len(raw)]}
        body += raw
    head = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head + body)


# ---- ONNX, by the field numbers of onnx.proto ----

def number(n):
    n &= (1 << 64) - 1
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(at_number, value):
    """an integer, a text, bytes, or a float32"""
    if isinstance(value, int):
        return number(at_number << 3) + number(value)
    if isinstance(value, float):
        return number(at_number << 3 | 5) + struct.pack("<f", value)
    value = value.encode() if isinstance(value, str) else value
    return number(at_number << 3 | 2) + number(len(value)) + value


def attribute(name, value):
    if isinstance(value, float):
        return field(1, name) + field(2, value) + field(20, 1)
    if isinstance(value, int):
        return field(1, name) + field(3, value) + field(20, 2)
    return field(1, name) + b"".join(field(8, v) for v in value) + field(20, 7)


class Onnx:
    def __init__(self):
        self.nodes, self.constants, self.n = b"", b"", 0

    def const(self, value):
        value = np.asarray(value)
        self.n += 1
        kind = {"float32": 1, "int64": 7}[value.dtype.name]
        self.constants += field(5, b"".join(field(1, int(d)) for d in value.shape) + field(2, kind) + field(8, f"c{self.n}") + field(9, np.ascontiguousarray(value).tobytes()))
        return f"c{self.n}"

    def op(self, kind, *inputs, n_out=1, **attributes):
        outs = [f"x{self.n + i + 1}" for i in range(n_out)]
        self.n += n_out
        inputs = [i if isinstance(i, str) else self.const(i) for i in inputs]
        self.nodes += field(1, b"".join(field(1, i) for i in inputs) + b"".join(field(2, o) for o in outs) + field(4, kind) +
                            b"".join(field(5, attribute(k, v)) for k, v in attributes.items()))
        return outs if n_out > 1 else outs[0]

    def write(self, path, of, in_shape, made, out_shape):
        def typed(name, shape):
            dims = b"".join(field(1, field(1, d)) for d in shape)
            return field(1, name) + field(2, field(1, field(1, 1) + field(2, dims)))
        graph = self.nodes + field(2, "vit") + self.constants + field(11, typed(of, in_shape)) + field(12, typed(made, out_shape))
        with open(path, "wb") as f:
            f.write(field(1, 9) + field(7, graph) + field(8, field(1, "") + field(2, 20)))


def write_onnx(path, w):
    g, tokens, each = Onnx(), SIDE * SIDE + 1, WIDTH // HEADS
    ints = lambda *n: np.array(n, np.int64)
    linear = lambda x, name: g.op("Add", g.op("MatMul", x, w[name + ".weight"].T), w[name + ".bias"])
    norm = lambda x, name: g.op("LayerNormalization", x, w[name + ".weight"], w[name + ".bias"], axis=-1, epsilon=1e-6)
    x = g.op("Conv", "pixels", w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], kernel_shape=[PATCH, PATCH], strides=[PATCH, PATCH])
    x = g.op("Transpose", g.op("Reshape", x, ints(1, WIDTH, SIDE * SIDE)), perm=[0, 2, 1])
    x = g.op("Add", g.op("Concat", w["cls_token"], x, axis=1), w["pos_embed"])
    for i in range(LAYERS):
        name = f"blocks.{i}."
        qkv = g.op("Reshape", linear(norm(x, name + "norm1"), name + "attn.qkv"), ints(1, tokens, 3, HEADS, each))
        q, k, v = g.op("Split", g.op("Transpose", qkv, perm=[2, 0, 3, 1, 4]), n_out=3, axis=0, num_outputs=3)
        q, k, v = (g.op("Squeeze", t, ints(0)) for t in (q, k, v))
        q = g.op("Mul", q, np.float32(each ** -0.5))
        a = g.op("MatMul", g.op("Softmax", g.op("MatMul", q, g.op("Transpose", k, perm=[0, 1, 3, 2])), axis=-1), v)
        a = g.op("Reshape", g.op("Transpose", a, perm=[0, 2, 1, 3]), ints(1, tokens, WIDTH))
        x = g.op("Add", x, linear(a, name + "attn.proj"))
        x = g.op("Add", x, linear(g.op("Gelu", linear(norm(x, name + "norm2"), name + "mlp.fc1")), name + "mlp.fc2"))
    x = g.op("Reshape", g.op("Slice", x, ints(0), ints(1), ints(1)), ints(1, WIDTH))
    g.write(path, "pixels", (1, 3, IMAGE, IMAGE), linear(norm(x, "norm"), "head"), (1, CLASSES))


# ---- measuring ----

def ours(seed):
    done = subprocess.run([os.path.join(build, "evla"), "run", os.path.join(here, "vit.lua"), "--trust", "-q", "--workers", str(threads), "--out", at("out"),
                           "--weights", at("f32.safetensors"), "--half", at("bf16.safetensors"), "--runs", str(runs), "--seed", str(seed)],
                          cwd=work.name, capture_output=True, text=True)
    if done.returncode:
        sys.exit("bench vit: " + done.stderr[-800:])
    out = {}
    for name, *_ in FORMATS:
        with open(at("out", "vit", name, "job.json")) as f:
            figures = json.load(f)["figures"]
        out[name] = figures["least_us"] / 1e3, figures["p50_us"] / 1e3, figures["flops"]
    return out


def tensors(name):
    io = bundle(at("out", "vit", name, "outputs.evla"))[1]
    return io["i:pixels"], io["o:features"].ravel().astype(np.float64)


def peer():
    done = subprocess.run(["node", os.path.join(here, "vit.mjs"), packages, at("vit.onnx"), at("pixels.f32"), str(threads), str(runs)], capture_output=True, text=True)
    if done.returncode:
        sys.exit("bench vit: " + done.stderr[-800:])
    a = json.loads(done.stdout)
    ms = sorted(a["ms"])
    return ms[0], ms[len(ms) // 2], np.array(a["logits"])


def peaks():
    """operations per second of the cores in f32; None where bench_x86 cannot say"""
    try:
        text = subprocess.run([os.path.join(build, "bench", "bench_x86"), "1"], env=os.environ | {"EVLA_BUILD": build}, capture_output=True, check=True).stdout
        return threads * 1e9 * json.loads(text)["peak_gflops"]
    except (OSError, subprocess.CalledProcessError, KeyError, ValueError):
        return None


def main():
    w = weights()
    write_safetensors(at("f32.safetensors"), w, False)
    write_safetensors(at("bf16.safetensors"), w, True)
    write_onnx(at("vit.onnx"), w)
    found = os.path.join(packages, "node_modules", "onnxruntime-node", "package.json")
    has_peer = os.path.exists(found)
    peak = peaks()
    mine, theirs = {name: [] for name, *_ in FORMATS}, []
    for i in range(rounds):
        got = ours(100 + i)
        for name in mine:
            mine[name].append(got[name])
        if not has_peer:
            continue
        pixels, logits = tensors("f32")
        pixels.tofile(at("pixels.f32"))
        best, median, want = peer()
        theirs.append((best, median))
        far = np.linalg.norm(logits - want) / np.linalg.norm(want)
        if not far < 1e-4:
            sys.exit(f"bench vit: logits are {far:.1e} from onnxruntime's")
    exact = tensors("f32")[1]
    if has_peer:
        with open(found) as f:
            title = "onnxruntime-node " + json.load(f)["version"]
    else:
        title = "none here; its figure is a recorded one"
    print(f"ViT-S/16 at 224, {threads} thread{'s' * (threads > 1)}, ms; best and median of {rounds} rounds of {runs} runs, in turns; the peer: {title}, in f32")
    print(machine())
    best_peer, median_peer = (min(t[0] for t in theirs), sorted(t[1] for t in theirs)[len(theirs) // 2]) if theirs else (RECORDED_MS, None)
    row = "{:<10}{:>9}{:>9}{:>9}{:>10}{:>8}{:>7}{:>7}  {}".format
    print(row("", "evla", "median", "peer", "median", "ratio", "bar", "aim", ""))
    for name, bar, aim, times in FORMATS:
        best, median = min(t[0] for t in mine[name]), sorted(t[1] for t in mine[name])[rounds // 2]
        ratio = best_peer / best
        more = ["aim" if ratio >= aim else "bar" if ratio >= bar else "below the bar"]
        if peak:
            more.append(f"{mine[name][0][2] / (best * 1e-3) / (peak * times):.0%} of the peak")
        if name != "f32":
            more.append(f"relL2 {np.linalg.norm(tensors(name)[1] - exact) / np.linalg.norm(exact):.1e} from f32")
        print(row(name, f"{best:.1f}", f"{median:.1f}", f"{best_peer:.1f}", f"{median_peer:.1f}" if median_peer else "recorded", f"{ratio:.2f}", bar, aim, ", ".join(more)))


main()
