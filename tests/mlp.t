#!/usr/bin/python3
"""mlp.t -- pipelines/mlp.lua end to end: weights, outputs and figures against numpy, bit for bit over workers."""
import json
import math
import os
import struct
import subprocess
import sys
import tempfile
from xml.etree import ElementTree

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
import tap
from bundle import bundle, far, placed
from op_oracle import np

root = os.path.dirname(here)
evla = os.path.join(os.path.abspath(os.environ.get("EVLA_BUILD", os.path.join(root, "build"))), "evla")


def run(*words, cwd=root, **env):
    done = subprocess.run([evla, *words], cwd=cwd, capture_output=True, text=True, env=dict(os.environ, **env))
    return done.returncode, done.stdout + done.stderr


def job(out, name):
    with open(os.path.join(out, "mlp", name, "job.json")) as f:
        return json.load(f)


def gelu(x):
    return x / 2 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def layer_norm(x, w, b):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * w + b


def forward(w, x, layers, norm=False):
    w = {k[2:]: v.astype(np.float64) for k, v in w.items()}
    x = x.astype(np.float64)
    for i in range(1, layers + 1):
        if norm:
            x = layer_norm(x, w[f"blk.{i}.norm.w"], w[f"blk.{i}.norm.b"])
        x = gelu(x @ w[f"blk.{i}.w"].T + w[f"blk.{i}.b"])
    return x @ w["head.w"].T + w["head.b"]


def outputs(out):
    return bundle(os.path.join(out, "mlp/run/outputs.evla"))[1]


with tempfile.TemporaryDirectory(prefix="evla-mlp-") as work:
    at = lambda *p: os.path.join(work, *p)
    code, text = run("run", "pipelines/mlp.lua", "--out", at("a"), "--workers", "1", "--runs", "20")
    tap.ok(code == 0, "the program runs" + ("" if code == 0 else ": " + text))
    _, w = bundle(at("a/mlp/mlp/mlp.evla"))
    io = outputs(at("a"))
    tap.ok(sorted(w) == sorted(f"w:{n}.{k}" for n in ("blk.1", "blk.2", "head") for k in "wb"), "its file holds six weights by name")
    for n in ("blk.1", "blk.2", "head"):
        v = w[f"w:{n}.w"]
        bound = 1 / math.sqrt(v.shape[1])
        tap.ok(abs(v).max() <= bound and abs(v.std() - bound / math.sqrt(3)) < 0.1 * bound and not w[f"w:{n}.b"].any(),
               f"{n}.w starts uniform within 1/sqrt({v.shape[1]}), its bias as zeros")
    x, y = io["i:state"], io["o:action"]
    tap.ok(x.shape == (32, 9) and y.shape == (32, 7) and -1 <= x.min() < -0.9 and 0.9 < x.max() < 1, "32 states in [-1, 1) give 32 actions")
    gap = far(y, forward(w, x, 2))
    tap.ok(gap < 1e-5, f"the actions are numpy's within 1e-5 of the greatest (found {gap:.1e}; sums of 64 products round in f32)")

    f = job(at("a"), "run")["figures"]
    o = f["outputs"]["action"]
    tap.ok(o["type"] == "f32[32,7]" and np.isclose(o["min"], y.min()) and np.isclose(o["max"], y.max()) and
           abs(o["mean"] - y.astype(np.float64).mean()) < 1e-12, "figures tell the outputs' type, least, greatest and mean")
    tap.ok(f["arena_bytes"] >= f["lower_bound_bytes"] > 0 and f["nodes"] == 3 and f["fused"] == 2 and f["runs"] == 20 and
           f["workers"] == 1 and 0 < f["least_us"] <= f["p50_us"] <= f["p99_us"], "and arena, bound, nodes and times")
    tap.ok([r["where"] for r in f["profile"]] == ["mlp.lua:17", "mlp.lua:17", "mlp.lua:19"], "the profile names lines of the model file")
    m = job(at("a"), "mlp")["figures"]
    tap.ok(m["parameters"] == sum(v.size for v in w.values()) == 5255 and m["weight_bytes"] == 4 * m["parameters"] and
           m["bytes"] == os.path.getsize(at("a/mlp/mlp/mlp.evla")), "the model's figures count its parameters and bytes")

    digests = {o["digest"]}
    for name, more in (("b", ("--workers", "2", "--runs", "3")), ("c", ("--workers", "7", "--runs", "1"))):
        code, text = run("run", "pipelines/mlp.lua", "--out", at(name), *more)
        digests.add(job(at(name), "run")["figures"]["outputs"]["action"]["digest"] if code == 0 else text)
    tap.ok(len(digests) == 1, "1, 2 and 7 workers and any number of runs give the same bits")
    with open(at("a/mlp/mlp/mlp.evla"), "rb") as p, open(at("b/mlp/mlp/mlp.evla"), "rb") as q:
        tap.ok(p.read() == q.read(), "and the model's file is the same, byte for byte")
    run("run", "pipelines/mlp.lua", "--out", at("d"), "--seed", "2")
    tap.ok(job(at("d"), "run")["figures"]["outputs"]["action"]["digest"] not in digests, "another seed gives others")
    code, text = run("run", "pipelines/mlp.lua", "--out", at("a"), "--workers", "1", "--runs", "20", "--json")
    tap.ok(code == 0 and [j["state"] for j in json.loads(text[text.index("{"):text.rindex("}") + 1])["jobs"]] == ["skipped", "skipped"],
           "run again, nothing is made again")

    code, text = run("run", "pipelines/mlp.lua", "--out", at("e"), "--width", "100", "--layers", "5", "--batch", "3", "--runs", "1")
    io = outputs(at("e"))
    gap = far(io["o:action"], forward(bundle(at("e/mlp/mlp/mlp.evla"))[1], io["i:state"], 5))
    tap.ok(code == 0 and io["o:action"].shape == (3, 7) and gap < 1e-5, f"5 layers of 100 over 3 states: {gap:.1e}")

    # a program of its own: norms, two graphs, a model file beside the script, weights from a file
    with open(at("mlp.lua"), "w") as g:
        g.write('''local evla = require "evla"
local a = evla.model "mlp" { layers = 1, width = 16, norm = true, name = "first" }
local c = evla.model "pair" { size = 4 }
return evla.program { a, evla.apply "run" { model = a, symbols = { B = 2 }, runs = 1 }, c,
  evla.apply "both" { model = c, graph = "two", symbols = { B = 6 }, runs = 1 } }
''')
    os.mkdir(at("models"))
    with open(at("models/pair.lua"), "w") as g:
        g.write('''return function(p)
  return {
    one = function(g) g:output("y", g.relu(g.linear { g:input("x", "f32[B,3]"), w = "w", out = p.size })) end,
    two = function(g)
      local x = g:input("x", "f32[B,3]")
      local y = g:linear { x, w = "w", out = p.size }
      g:output("y", g.concat { xs = { y, g.mul { y, 0.5 } }, axis = -1 })
      g:output("z", g.add(y, g:const("f32[1]", { 2 })))
    end,
  }
end
''')
    code, text = run("run", "mlp.lua", "--out", "out", cwd=work)
    tap.ok(code == 0, "a script called mlp.lua uses the engine's mlp and a model file of its own" + ("" if code == 0 else ": " + text))
    if code == 0:
        _, w = bundle(at("out/mlp/first/first.evla"))
        io = outputs(at("out"))
        gap = far(io["o:action"], forward(w, io["i:state"], 1, True))
        tap.ok((w["w:blk.1.norm.w"] == 1).all() and not w["w:blk.1.norm.b"].any() and gap < 1e-5,
               f"a norm starts with gain 1 and bias 0, and computes numpy's: {gap:.1e}")
        header, w = bundle(at("out/mlp/pair/pair.evla"))
        tap.ok(list(w)[-1] == "w:w" and [g["name"] for g in header["head"]["graphs"]] == ["one", "two"], "two graphs share one weight")
        io = bundle(at("out/mlp/both/outputs.evla"))[1]
        y = io["i:x"].astype(np.float64) @ w["w:w"].T.astype(np.float64)
        tap.ok(abs(np.concatenate([y, y / 2], -1) - io["o:y"]).max() < 1e-6 and abs(y + 2 - io["o:z"]).max() < 1e-6,
               "lists of inputs, numbers as inputs, constants and g:op all mean what they say")
        # every weight drawn anew by numpy, so that biases and gains count
        rng = np.random.default_rng(7)
        with open(at("out/mlp/first/first.evla"), "rb") as g:
            file = bytearray(g.read())
        for v, start in placed(file)[1].values():
            new = rng.uniform(-1, 1, v.shape).astype(np.float32)
            file[start:start + new.nbytes] = new.tobytes()
        with open(at("drawn.evla"), "wb") as g:
            g.write(file)
        with open(at("again.lua"), "w") as g:
            g.write('''local evla = require "evla"
local m = evla.model "mlp" { layers = 1, width = 16, norm = true, seed = 5, weights = "drawn.evla" }
return evla.program { m, evla.apply "run" { model = m, symbols = { B = 5 }, runs = 1 } }
''')
        code, text = run("run", "again.lua", "--out", "out", cwd=work)
        a, b = bundle(at("drawn.evla"))[1], bundle(at("out/again/mlp/mlp.evla"))[1]
        tap.ok(code == 0 and all((a[k] == b[k]).all() for k in a), "weights = FILE takes them all" + ("" if code == 0 else ": " + text))
        io = bundle(at("out/again/run/outputs.evla"))[1]
        gap = far(io["o:action"], forward(b, io["i:state"], 1, True))
        tap.ok(gap < 1e-5, f"and with weights drawn by numpy the actions are numpy's: {gap:.1e}")
        with open(at("clash.lua"), "w") as g:
            g.write('local evla = require "evla"\nreturn evla.program { evla.model "mlp" { layers = 1, width = 8, norm = true, '
                    'weights = "out/mlp/first/first.evla" } }\n')
        code, text = run("check", "clash.lua", cwd=work)
        tap.ok(code == 2 and "clash.lua:2: " in text and "first.evla: weight blk.1.w: want f32[8,9], found f32[16,9]" in text,
               f"weights of other shapes are refused: {text.strip()[-90:]}")
        with open(at("models/pair.lua"), "a") as g:
            g.write("-- changed\n")
        code, text = run("run", "mlp.lua", "--out", "out", "--json", cwd=work)
        states = [j["state"] for j in json.loads(text[text.index("{"):text.rindex("}") + 1])["jobs"]] if code == 0 else text
        tap.ok(states == ["done"] * 4, f"a changed model file makes the jobs again: {states}")

    code, text = run("ops", at("a/mlp/mlp/mlp.evla"), "--B", "4", "--json", EVLA_MACHINE="portable")
    rows = json.loads(text)[0]["nodes"] if code == 0 else [{}]
    tap.ok([(r["op"], r["kernel"], r["fallback"]) for r in rows] ==
           [("linear+gelu", "linear.portable", "its 2 parts")] * 2 + [("linear", "linear.portable", "none")] and
           rows[2]["output"] == "f32[4,7]", "evla ops of a saved model: operator, kernel, fallback" + ("" if code == 0 else ": " + text))
    code, text = run("ops", "pipelines/mlp.lua", "--batch", "16")
    tap.ok(code == 0 and "graph policy: B = 16" in text and "mlp.lua:19" in text, "of a program: with the extents that it runs with")
    code, text = run("ops", "scripts/evla/models/mlp.lua", "--layers", "1", "--norm", "--B", "2", EVLA_MACHINE="portable")
    tap.ok(code == 0 and "machine portable" in text and "layer_norm.portable" in text and "f32[2,7]" in text, "of a model file: with its options")
    code, text = run("show", "pipelines/mlp.lua", "--out", at("s"))
    drawn = {f: ElementTree.parse(at("s/show/mlp", f)).getroot() for f in sorted(os.listdir(at("s/show/mlp")))} if code == 0 else {}
    words = {f: "".join(r.itertext()) for f, r in drawn.items()}
    tap.ok(list(drawn) == ["policy.after.svg", "policy.arena.svg", "policy.before.svg"] and
           all(r.tag.endswith("svg") for r in drawn.values()) and "gelu" in words["policy.before.svg"],
           "evla show draws a graph as declared, as planned, and its arena" + ("" if code == 0 else ": " + text))
    with open(at("fit.lua"), "w") as g:
        g.write("return function() return { fit = function(g)\n"
                "  local y = g.linear { g.gelu { g.linear { g:input('x', 'f32[B,9]'), w = 'a.w', out = 16 } }, w = 'b.w', out = 7 }\n"
                "  g:output('error', g.mse_loss { y, g:input('y', 'f32[B,7]') })\n"
                "end } end\n")
    code, text = run("ops", at("fit.lua"), "--B", "4", "--train=error", "--json", EVLA_MACHINE="portable")
    rows = json.loads(text)[0]["nodes"] if code == 0 else []
    names = [r["op"] for r in rows]
    tap.ok(names.count("adamw") == 2 and names.count("linear") == 2 and names.count("matmul") == 3 and "gelu_grad" in names and
           all("fit.lua:2" in r["where"] for r in rows if r["op"] in ("matmul", "gelu_grad")),
           f"evla ops --train: the training step, with lines of the forward pass: {' '.join(names) or text}")
    code, text = run("show", at("fit.lua"), "--B", "4", "--out", at("s2"), "--train=error")
    drawn = os.listdir(at("s2/show/fit")) if code == 0 else text
    tap.ok("fit.after.svg" in drawn and "adamw" in "".join(ElementTree.parse(at("s2/show/fit/fit.after.svg")).getroot().itertext()),
           "evla show --train draws it" + ("" if code == 0 else ": " + text))
    code, text = run("ops", at("fit.lua"), "--B", "4", "--train")
    tap.ok(code == 2 and 'no graph has an output "loss" to train' in text, f"--train wants a loss: {text.strip()}")
    for words, why in ((("--lyers", "3"), 'command line: model "mlp": lyers: there is no such parameter; did you mean "layers"?'),
                       (("--C", "3"), "graph policy: there is no symbol C"), (("--B", "x"), '--B: want an extent such as 32, got "x"')):
        code, text = run("ops", "scripts/evla/models/mlp.lua", *words)
        tap.ok(code == 2 and why in text, f"evla ops {' '.join(words)}: {text.strip()}")
tap.done()
