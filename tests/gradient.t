#!/usr/bin/python3
"""gradient.t -- g.gradient in a model file: a derivative as a node of a graph that is run, against central differences of NumPy in
float64; of values between others, of derivatives, several in one graph, behind weights in codes; and what is refused."""
import json
import os
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
import tap
from gguf import write
from op_oracle import np

evla = os.path.join(os.path.abspath(os.environ.get("EVLA_BUILD", os.path.join(os.path.dirname(here), "build"))), "evla")
tap.need(evla)
work = tempfile.TemporaryDirectory(prefix="evla-gradient-")
at = lambda *name: os.path.join(work.name, *name)
rng = np.random.default_rng(8)
N = 6
draw = lambda *shape: rng.normal(size=shape).astype("f4").astype("f8")
numbers = lambda v: "{" + ",".join(numbers(u) if np.ndim(u) else repr(float(u)) for u in v) + "}"
x, dy, W, V = draw(3, N), draw(3, 4), draw(4, N), draw(N, N)


def derivative(f, x, seed=None, h=1e-5):
    """seed^T df/dx"""
    out = np.zeros(x.shape)
    for i in np.ndindex(*x.shape):
        d = np.zeros(x.shape)
        d[i] = h
        out[i] = np.sum((1 if seed is None else seed) * (f(x + d) - f(x - d))) / (2 * h)
    return out


squash = lambda x: np.tanh(x @ W.T)
bend = lambda x: x / (1 + np.exp(-x))
cube = lambda x: np.sum(x ** 3)
inner = bend(x @ V.T)
CASES = {  # name: body, outputs by name
    "scalar": ("g:output('d', g.gradient { g.reduce_sum { g.mul { x, g.square(x) } }, x })", {"d": 3 * x ** 2}),
    "product": ("local y = g.tanh(g.matmul { x, w, transpose_b = true }) g:output('y', y) g:output('d', g.gradient { y, x, dy })",
                {"y": squash(x), "d": derivative(squash, x, dy)}),
    "between": ("""local z = g.silu(g.matmul { x, v, transpose_b = true })
      local y = g.tanh(g.matmul { z, w, transpose_b = true })
      g:output('d', g.gradient { y, z, dy }) g:output('e', g.gradient { y, x, dy = g.neg(dy) })""",
                {"d": derivative(squash, inner, dy), "e": -derivative(lambda x: squash(bend(x @ V.T)), x, dy)}),
    "again": ("""local d = g.gradient { g.reduce_sum { g.mul { x, g.square(x) } }, x }
      g:output('dd', g.gradient { g.reduce_sum { g.square(d) }, x })""", {"dd": derivative(lambda x: np.sum((3 * x ** 2) ** 2), x)}),
    "onwards": ("local d = g.gradient { g.tanh(g.matmul { x, w, transpose_b = true }), x, dy } g:output('y', g.sub { x, g.mul { d, 0.1 } })",
                {"y": x - 0.1 * derivative(squash, x, dy)}),
}
BEGIN = f"""local x, w, v = g:input("x", "f32[3,{N}]"), g:const("f32[4,{N}]", {numbers(W)}), g:const("f32[{N},{N}]", {numbers(V)})
      local dy = g:const("f32[3,4]", {numbers(dy)})"""
os.makedirs(at("models"))


def model(name, graphs):
    with open(at("models", name + ".lua"), "w") as f:
        f.write("return function() return {\n" + "".join(f"    {k} = function(g)\n      {v}\n    end,\n" for k, v in graphs.items()) + "} end\n")


def run(text, *words, file="program.lua"):
    with open(at(file), "w") as f:
        f.write("local evla = require 'evla'\n" + text)
    r = subprocess.run([evla, *(words or ("run", "--trust")), at(file), "--out", at("out")], cwd=work.name, capture_output=True, text=True)
    return r.returncode, r.stdout + r.stderr


model("slopes", {k: BEGIN + " " + body for k, (body, _) in CASES.items()})
text = "local m = evla.model 'slopes' {}\nlocal jobs = { m }\n"
for name, (_, wants) in CASES.items():
    for workers in (1, 2):
        text += (f"jobs[#jobs + 1] = evla.call '{name}{workers}' {{ model = m, schedule = {{ {{ graph = '{name}' }} }}, workers = {workers}, "
                 f"values = {{ x = {numbers(x.ravel())} }}, dump = '{at('got', name + str(workers))}' }}\n")
code, text = run(text + "return evla.program(jobs)\n")
tap.ok(code == 0, "graphs with gradients run", text)
for name, (_, wants) in CASES.items():
    for out, want in wants.items():
        path = at("got", f"{name}1", out + ".npy")
        got = np.load(path).astype("f8") if os.path.exists(path) else np.full(want.shape, np.inf)
        error = np.abs(got - want).max() / np.abs(want).max()
        tap.ok(error <= 2e-6, f"{name}: {out} off by {error:.2g} of the largest, at most 2e-6")
        two = at("got", f"{name}2", out + ".npy")
        tap.ok(os.path.exists(two) and open(two, "rb").read() == open(path, "rb").read(), f"{name}: the same bits from two threads")
r = subprocess.run([evla, "ops", at("out", "program", "slopes", "slopes.evla"), "--json"], capture_output=True, text=True)
ops = [n["op"] for g in json.loads(r.stdout) if g["graph"] == "product" for n in g["nodes"]] if r.returncode == 0 else []
tap.ok("tanh_grad" in ops and "gradient" not in ops, "a saved model has it, too: its nodes stand in its place", r.stdout + r.stderr)

# ---- behind weights in codes: what ggml says that they are counts ----
golden = np.load(os.path.join(here, "golden", "ggml_blocks.npz"))
tensors, coded, graphs = {}, {}, {}
for kind in ("q8_0", "q4_0", "q5_1", "q6_k", "bf16"):
    if kind == "bf16":
        values = draw(4, 64).astype("f4").view("u4") >> 16
        codes, values = values.astype("<u2").tobytes(), (values << 16).view("f4")
    else:
        values, codes = golden[kind + ".values"][:16], golden[kind + ".codes"][:16].tobytes()
        values = values.reshape(4, -1)
    shape = values.shape
    tensors[kind] = (kind, shape, codes)
    seed = draw(2, 4)
    coded[kind] = {"w": values.astype("f8"), "d": seed @ values.astype("f8")}
    graphs[kind] = (f"local w = g:weight('{kind}', '[{shape[0]},{shape[1]}]') local x = g:input('x.{kind}', 'f32[2,{shape[1]}]') "
                    f"g:output('d', g.gradient {{ g.linear {{ x, w = w }}, x, g:const('f32[2,4]', {numbers(seed)}) }}) g:output('w', g.cast {{ w, to = 'f32' }})")
write(at("coded.gguf"), tensors)
model("coded", graphs)
text = f"local m = evla.model 'coded' {{ weights = {json.dumps(at('coded.gguf'))} }}\nlocal jobs = {{ m }}\n"
for kind, want in coded.items():
    text += (f"jobs[#jobs + 1] = evla.call '{kind}' {{ model = m, schedule = {{ {{ graph = '{kind}' }} }}, dump = '{at('coded', kind)}' }}\n")
code, text = run(text + "return evla.program(jobs)\n", file="coded.lua")
for kind, want in coded.items():
    got = {k: np.load(at("coded", kind, k + ".npy")).astype("f8") if os.path.exists(at("coded", kind, k + ".npy")) else np.full(v.shape, np.inf) for k, v in want.items()}
    error = np.abs(got["d"] - want["d"]).max() / np.abs(want["d"]).max()
    tap.ok(error <= 1e-6 and (got["w"] == want["w"]).all(), f"behind a linear in {kind}: off by {error:.2g} of the largest, at most 1e-6; cast decodes it to the bit", text)

# ---- what is refused ----
for body, words in (
    ("g:output('d', g.gradient { x, x })", "g/gradient.0: gradient: y is f32[3,6]; want one number, or a dy of y's type"),
    ("g:output('d', g.gradient { x, x, dy })", "gradient: dy is f32[3,4]; want f32[3,6], as y is"),
    ("g:output('d', g.gradient { g.reduce_sum { w }, x })", "does not depend on x, or only where its derivative is 0"),
    ("g:output('d', g.gradient { g.reduce_sum { g.sign(x) }, x })", "does not depend on x, or only where its derivative is 0"),
    ("local i = g:input('i', 'i32[2]') g:output('d', g.gradient { g.reduce_sum { x }, i })", "gradient: x is i32[2]; want real numbers"),
    ("g:output('d', g.gradient { g.reduce_sum { g.max_pool2d { g.reshape { x, shape = { 1, 1, 3, 6 } }, kernel_size = { 2, 2 } } }, x })",
     "the operator max_pool2d has no gradient, and what one is asked for lies behind it"),
    ("local c, s = g.rope_angles { g:const('i32[3]', { 0, 1, 2 }), dims = 6 } local z = g.mul { c, g.reduce_sum { x } } g:output('d', g.gradient { g.reduce_sum { g.rope { x, z, s, heads = 1 } }, x })",
     "rope passes no gradient to its angles"),
    ("g:output('d', g.gradient { x })", "input \"x\" is missing; gradient wants: y x dy?"),
):
    model("bad", {"g": BEGIN + " " + body})
    code, text = run("return evla.program { evla.model 'bad' {} }\n", "check", file="bad.lua")
    tap.ok(code == 2 and words in text and "models/bad.lua:" in text and len(text.strip().splitlines()) == 1, f"refused: {words}", text)
tap.done()
