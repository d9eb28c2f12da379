#!/usr/bin/python3
"""recipe.t -- the job type "recipe" end to end: codes, metric and errors against numpy, rules, fallback, files.

The oracle knows the operators by the text of core/evla/ops.h and the rows by that of core/job/measure.h."""
import json
import os
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
import tap
from bundle import bundle, placed
from op_oracle import np

try:
    import h5py
except ImportError:
    print("1..0 # SKIP python3-h5py is not installed")
    sys.exit(0)
build = os.path.abspath(os.environ.get("EVLA_BUILD", os.path.join(here, "..", "build")))
for need in ("evla", "plugins/ops.so", "plugins/int8.so", "plugins/hdf5.so"):
    if not os.path.exists(os.path.join(build, need)):
        print(f"1..0 # SKIP {need} is not built")
        sys.exit(0)
f4, f8 = np.float32, np.float64
rng = np.random.default_rng(3)
IN, WIDE, OUT, WORDS = 12, 96, 4, 10

MODEL = '''return function(p)
  local function action(g)
    local x = g:input("obs/x", "f32[B,12]")
    local word = g:input("word", "i32[B]")
    local h = g.relu { g.linear { x, w = "in.w", b = "in.b", out = 96 } }
    h = g.add { h, g.embedding { w = nil, table = "words", ids = word, num_embeddings = 10, embedding_dim = 96 } }
    local a = g.relu { g.linear { h, w = "mid.w", b = "mid.b", out = 96 } }
    local gate = g.relu { g.linear { h, w = "gate.w", out = 96 } }
    return g.linear { g.mul { a, gate }, w = "head.w", b = "head.b", out = 4 }
  end
  return {
    policy = function(g) g:output("action", action(g)) end,
    loss = function(g) g:output("loss", g.mse_loss { action(g), g:input("expert_actions", "f32[B,4]") }) end,
  }
end
'''.replace("w = nil, ", "")


def code(x, s=None):
    most = np.abs(x).max(-1, keepdims=True)
    if s is None:
        s = (most / f4(127)).astype(f4)
        s = np.where(s == 0, f4(1), s).astype(f4)
    return np.clip(np.rint(x / s), -127, 127).astype(np.int8), s


def linear(x, w, b, on):
    if not on:
        y = x.astype(f8) @ w.astype(f8).T + (0 if b is None else b)
        return y.astype(f4)
    q, qs = code(x)
    c, ws = code(w)
    y = (q.astype(np.int64) @ c.astype(np.int64).T).astype(f4) * (qs * ws[:, 0]).astype(f4)
    return (y if b is None else y + b).astype(f4)


def act(w, x, word, on):
    """what the model file says, with the weights named in `on` in codes"""
    relu = lambda v: np.maximum(v, 0)
    h = relu(linear(x, w["in.w"], w["in.b"], "in.w" in on))
    table = w["words"]
    if "words" in on:
        q, s = code(table)
        table = q.astype(f4) * s
    h = h + table[word]
    a = relu(linear(h, w["mid.w"], w["mid.b"], "mid.w" in on))
    gate = relu(linear(h, w["gate.w"], None, "gate.w" in on))
    return linear(a * gate, w["head.w"], w["head.b"], "head.w" in on)


def evla(*words, env=None, cwd=None):
    done = subprocess.run([os.path.join(build, "evla"), *words], cwd=cwd or work, capture_output=True, text=True,
                          env=dict(os.environ, **(env or {})), timeout=120)
    return done.returncode, done.stdout + done.stderr


def write(name, text):
    with open(os.path.join(work, name), "w") as f:
        f.write(text)


def load(*path):
    with open(os.path.join(work, *path)) as f:
        return json.load(f)


def weights(*path):
    return {k[2:]: v for k, v in bundle(os.path.join(work, *path))[1].items()}


def rows(n, samples):
    """evenly spread, in whole batches of 32 (core/job/measure.h)"""
    batch = min(32, samples)
    batches = max(1, min(n, samples) // batch)
    return (np.arange(batch * batches) + 0.5) * n / (batch * batches)


with tempfile.TemporaryDirectory(prefix="evla-recipe-") as work:
    os.mkdir(os.path.join(work, "models"))
    write("models/small.lua", MODEL)
    # weights drawn here; one layer has a column that costs the others their codes
    write("first.lua", '''local evla = require "evla"
return evla.program { evla.model "small" {} }
''')
    said = evla("run", "first.lua", "--out", "out")
    if not tap.ok(said[0] == 0, "a model is made" + ("" if said[0] == 0 else ": " + said[1])):
        tap.done()
    with open(os.path.join(work, "out/first/small/small.evla"), "rb") as f:
        file = bytearray(f.read())
    w = {}
    for name, (v, at) in placed(file)[1].items():
        new = (rng.standard_normal(v.shape) * (0.3 if v.ndim == 2 else 0.1)).astype(f4)
        if name == "w:gate.w":
            new[:, 5] = 400  # its codes are lost to a feature that is always 0
        if name in ("w:in.w", "w:in.b"):
            new[5] = 0
        if name == "w:words":
            new[:, 5] = 0
        file[at:at + new.nbytes] = new.tobytes()
        w[name[2:]] = new
    with open(os.path.join(work, "drawn.evla"), "wb") as f:
        f.write(file)

    # episodes of different lengths; every third is held out
    demos = []
    with h5py.File(os.path.join(work, "demos.hdf5"), "w") as f:
        for i in range(9):
            n = 40 + 7 * i
            d = f.create_group(f"data/demo_{i}")
            d.attrs["num_samples"] = n
            d["obs/x"] = rng.standard_normal((n, IN)).astype(f4)
            d["word"] = rng.integers(0, WORDS, n).astype(np.int32)
            good = act(w, d["obs/x"][:], d["word"][:], ())
            d["expert_actions"] = good + (good.std() * 0.05 * rng.standard_normal(good.shape)).astype(f4)
            d["actions"] = d["expert_actions"][:]
            demos.append({k: d[k][:] for k in ("obs/x", "word", "expert_actions")})
        for mask, which in (("valid", (0, 3, 6)), ("train", (1, 2, 4, 5, 7, 8))):
            f[f"mask/{mask}"] = np.array([f"demo_{i}".encode() for i in which])
    valid = {k: np.concatenate([demos[i][k] for i in (0, 3, 6)]) for k in demos[0]}

    write("r.lua", '''local evla = require "evla"
local int8 = evla.quant.int8
local m = evla.model "small" { weights = "drawn.evla" }
local demos = evla.dataset "demos" { path = "demos.hdf5" }
local calibrate = { data = demos, samples = 128 }
local all = { { "*", int8 {} } }
return evla.program { m, demos,
  evla.recipe "all" { model = m, calibrate = calibrate, rules = all, accept = { worse_by = "1000000" } },
  evla.recipe "fallback" { model = m, calibrate = calibrate, rules = all, accept = { worse_by = "20%", unit = "action^2", samples = 64 } },
  evla.recipe "rules" { model = m, calibrate = calibrate, accept = { worse_by = "1000000" },
    rules = { { "head.*", keep = "f32" }, { "[gm]*.w", int8 { activations = "per_tensor" } }, { "nothing", int8 {} }, { "*", keep = "f32" } } },
  evla.recipe "percentile" { model = m, calibrate = calibrate, accept = { worse_by = "1000%" },
    rules = { { "mid.w", int8 { activations = "per_tensor", calibration = "percentile", percentile = 99, weights = "per_tensor" } } } },
  evla.recipe "off" { model = m, calibrate = calibrate, rules = all, without = "quantize", accept = { worse_by = "0%" } },
  evla.recipe "drawn" { model = m, rules = all, accept = { graph = "policy", metric = "output_error", worse_by = "100%" }, step = { "policy" } },
}
''')
    code_, said = evla("run", "r.lua", "--out", "out")
    tap.ok(code_ == 0, "recipes run" + ("" if code_ == 0 else ": " + said))
    if code_:
        tap.done()
    tap.ok('rules: rule 3: no weight of rank 2 or more is called "nothing"' in said, "a rule that names no weight is told")
    w = weights("out/r/small/small.evla")
    card = {n: load("out/r", n, "scorecard.json") for n in ("all", "fallback", "rules", "percentile", "off", "drawn")}
    layer = {n: {l["weight"]: l for l in c["layers"]} for n, c in card.items()}

    # codes and metric
    coded = weights("out/r/all/all.evla")
    same = all((coded[n + ".codes"] == code(w[n])[0]).all() and (coded[n + ".scale"] == code(w[n])[1]).all()
               for n in ("in.w", "mid.w", "gate.w", "head.w", "words"))
    tap.ok(same and not any(n in coded for n in ("in.w", "words")) and (coded["in.b"] == w["in.b"]).all(),
           "codes and scales are numpy's, biases stay")
    everything = {"in.w", "mid.w", "gate.w", "head.w", "words"}
    at = rows(len(valid["word"]), 1024).astype(int)
    v = {k: a[at] for k, a in valid.items()}

    def loss(on, v=v):
        gap = act(w, v["obs/x"], v["word"], on).astype(f8) - v["expert_actions"]
        return (gap * gap).mean()

    c = card["all"]
    tap.ok(c["metric_rows"] == len(at) == 32 * (len(valid["word"]) // 32) and c["metric_mask"] == "valid",
           f"the metric is measured on {len(at)} of {len(valid['word'])} rows held out")
    for side, on in (("f32", set()), ("coded", everything)):
        got, want = c["metric_" + side], loss(on)
        tap.ok(abs(got / want - 1) < 1e-4, f"the {side} loss is numpy's: {got:.6g}, {want:.6g}; 1e-4 for sums in f32")
    tap.ok(c["weights_in_codes"] == 5 and c["weights_put_back"] == 0, "all five weights are in codes, the table too")
    sizes = {n: v.nbytes for n, v in w.items()}, {n: v.nbytes for n, v in coded.items()}
    tap.ok(c["bytes_f32"] == sum(sizes[0].values()) and c["bytes_coded"] == sum(sizes[1].values()) and c["ratio"] > 3.5,
           f"bytes are those of the weights: {c['bytes_f32']} and {c['bytes_coded']}, {c['ratio']:.2f}x")
    tap.ok(c["file_bytes_coded"] == os.path.getsize(os.path.join(work, "out/r/all/all.evla")), "and the files'")

    # error of a layer's output, on the rows that calibration kept
    train = {k: np.concatenate([demos[i][k] for i in (1, 2, 4, 5, 7, 8)]) for k in demos[0]}
    pick = rows(len(train["word"]), 128).astype(int)
    x, word = train["obs/x"][pick], train["word"][pick]
    y, y8 = linear(x, w["in.w"], w["in.b"], False).astype(f8), linear(x, w["in.w"], w["in.b"], True).astype(f8)
    want = np.sqrt(((y8 - y) ** 2).sum() / (y ** 2).sum())
    tap.ok(abs(layer["all"]["in.w"]["error"] / want - 1) < 1e-3, f"a layer's error is numpy's: {want:.3g}")
    q, s = code(w["words"])
    want = np.sqrt(((q * s.astype(f8) - w["words"]) ** 2).sum() / (w["words"].astype(f8) ** 2).sum())
    tap.ok(abs(layer["all"]["words"]["error"] / want - 1) < 1e-3, f"so is a table's: {want:.3g}")

    # fallback
    c = card["fallback"]
    at = rows(len(valid["word"]), 64).astype(int)
    v = {k: a[at] for k, a in valid.items()}
    f32 = loss(set(), v)
    tap.ok(c["metric_rows"] == 64 and abs(c["metric_allowed"] / (1.2 * f32) - 1) < 1e-4 and c["metric_without_fallback"] > c["metric_allowed"],
           f"rules alone would miss the bar: {c['metric_without_fallback']:.4g}, allowed {c['metric_allowed']:.4g}")
    back = [n for n, l in layer["fallback"].items() if l["put_back"]]
    alone = {n: l["metric_alone"] for n, l in layer["fallback"].items()}
    tap.ok("gate.w" in back and c["metric_coded"] <= c["metric_allowed"] and c["weights_put_back"] == len(back) < 5,
           f"put back until it passes: {back}")
    gap = max(abs(alone[n] / loss({n}, v) - 1) for n in everything)
    tap.ok(gap < 1e-3, f"each layer's own cost is numpy's, within {gap:.1e}")
    worst = sorted(everything, key=lambda n: -alone[n])
    tap.ok(sorted(back) == sorted(worst[:len(back)]), "those that cost most alone go first")
    l = layer["fallback"]["gate.w"]
    tap.ok(l["decision"] == "f32" and l["reason"].startswith("put back: alone it takes loss from ") and l["bytes_after"] == l["bytes_before"],
           f"the scorecard says so: {l['reason']}")
    left = everything - set(back)
    tap.ok(abs(c["metric_coded"] / loss(left, v) - 1) < 1e-3 and
           all((n + ".codes" in weights("out/r/fallback/fallback.evla")) == (n in left) for n in everything), "the file is what was measured")

    # rules, static scales
    l = layer["rules"]
    tap.ok({n: (x["decision"], x["reason"]) for n, x in l.items()} ==
           {"in.w": ("f32", "rule 4 keeps it"), "words": ("f32", "rule 4 keeps it"), "head.w": ("f32", "rule 1 keeps it"),
            "mid.w": ("int8", "rule 2"), "gate.w": ("int8", "rule 2")}, f"the first rule that matches counts: {[(n, x['decision'], x['reason']) for n, x in l.items()]}")
    r = weights("out/r/rules/rules.evla")
    h = np.maximum(linear(x, w["in.w"], w["in.b"], False), 0) + w["words"][word]
    want = np.abs(h).max() / f4(127)
    scales = [n for n in r if n.endswith(".act_scale")]
    tap.ok(len(scales) == 1 and abs(r[scales[0]] / want - 1) < 1e-5 and r[scales[0]].shape == (),
           f"two linears that read the same value share a static scale, numpy's {want:.4g}")
    p = layer["percentile"]["mid.w"]["quantiser"]
    want = np.percentile(np.abs(h), 99) / 127
    tap.ok(0.98 < p["scale"] / want < 1.03 and p["observed"] == h.size, f"a percentile is numpy's within a bin of 1/64: {p['scale']:.4g}, {want:.4g}")
    r = weights("out/r/percentile/percentile.evla")
    tap.ok(np.unique(r["mid.w.scale"]).size == 1 and layer["percentile"]["in.w"]["reason"] == "no rule names it",
           "one scale for a whole weight; weights that no rule names stay")

    # switched off, drawn
    tap.ok(card["off"]["metric_coded"] == card["off"]["metric_f32"] and
           {n: a.tobytes() for n, a in weights("out/r/off/off.evla").items()} == {n: a.tobytes() for n, a in w.items()},
           "without = \"quantize\" leaves every bit as it was")
    tap.ok(card["off"]["weights_in_codes"] == 0 and {(l["decision"], l["reason"]) for l in layer["off"].values()} ==
           {("f32", "without quantize")}, f"and its scorecard says so: {layer['off']['mid.w']['reason']}")
    c = card["drawn"]
    tap.ok(c["metric_f32"] == 0 and c["metric_coded"] > 1e-3 and c["metric_allowed"] == 1 and c["step_graphs"] == ["policy"] and
           c["metric_mask"] == "", "without data inputs are drawn and outputs are compared with f32's")
    tap.ok(all(c["step_f32_us"] > 0 and c["speedup"] == c["step_f32_us"] / c["step_coded_us"] and c["step_f32_p50_us"] >= c["step_f32_us"] and
               c["step_graphs"] == ["policy"] for c in card.values()), "steps are timed: every graph but the measured one")
    tap.ok(all(l["us_f32"] > 0 and l["us_codes"] > 0 and l["kernel_codes"].startswith("quantized_linear.") for n, l in layer["all"].items() if n != "words"),
           "so is every layer, with the kernels that ran")

    # the model in other jobs, the same bits from any kernels
    write("use.lua", open(os.path.join(work, "r.lua")).read().split("return")[0] + '''
local r = evla.recipe "all" { model = m, calibrate = calibrate, rules = all, accept = { worse_by = "1000000" } }
return evla.program { r, evla.apply "run" { model = r, graph = "policy", symbols = { B = 3 }, runs = 2 } }
''')
    digests = {}
    for machine in ("", "portable", "avx2", "avx512"):
        code_, said = evla("run", "use.lua", "--out", "out-" + machine, env={"EVLA_MACHINE": machine} if machine else None)
        if code_ and machine:
            continue  # this machine has less
        digests[machine] = load("out-" + machine, "use/run/job.json")["figures"]["outputs"]["action"]["digest"] if code_ == 0 else said
    tap.ok(len(set(digests.values())) == 1 and "portable" in digests, f"all kernels give the same bits: {digests}")
    code_, said = evla("run", "r.lua", "--out", "out", "--json")
    states = {j["state"] for j in json.loads(said[said.index("{"):said.rindex("}") + 1])["jobs"]}
    tap.ok(code_ == 0 and states == {"skipped"}, f"run again, nothing is made again: {states}")
    s = load("out/r/summary.json")
    tap.ok(set(s["quant"]) == {"bytes_f32", "bytes_int8", "metric", "metric_f32", "metric_int8", "speedup"}, "the summary has its block")
    code_, said = evla("show", "out/r/all/all.evla", "--out", "pictures")
    drawn = sorted(os.listdir(os.path.join(work, "out/r/all")))
    tap.ok({"policy.before.svg", "policy.after.svg"} <= set(drawn) and "quantized_linear" in open(os.path.join(work, "out/r/all/policy.after.svg")).read() and
           "quantized_linear" not in open(os.path.join(work, "out/r/all/policy.before.svg")).read() and code_ == 0, "graphs are drawn before and after")

    # nothing to compare
    write("models/small.lua", MODEL.replace("loss = function", 'words = function(g) g:output("word", g.cast { g:input("word", "i32[B]"), to = "i64" }) end,\n    loss = function'))
    write("words.lua", """local evla = require "evla"
return evla.program { evla.recipe "words" { model = evla.model "small" {}, rules = { { "*", evla.quant.int8 {} } },
  accept = { graph = "words", metric = "output_error" } } }
""")
    code_, said = evla("run", "words.lua", "--out", "out")
    tap.ok(code_ != 0 and "graph words has no f32 output to compare" in said, "a graph without outputs to compare proves nothing: " + said.strip().splitlines()[-1])
    write("models/small.lua", MODEL)

    # NaN
    bad = bytearray(file)
    v, at = placed(file)[1]["w:mid.w"]
    bad[at:at + 4] = np.array([np.nan], f4).tobytes()
    with open(os.path.join(work, "nan.evla"), "wb") as f:
        f.write(bad)
    write("nan.lua", open(os.path.join(work, "r.lua")).read().replace("drawn.evla", "nan.evla"))
    code_, said = evla("run", "nan.lua", "--out", "out")
    tap.ok(code_ != 0 and "weight mid.w: int8: the weight holds a NaN or Inf at [0,0]" in said, "a weight with NaN is refused: " + said.strip().splitlines()[-1])

    LOSS = 'g.mse_loss { action(g), g:input("expert_actions", "f32[B,4]") }'
    # mistakes that only the data shows
    for change, why in ((("obs/x", "obs/y"), 'recipe "all": calibrate: data: demos has no field obs/y to feed the input of that name'),
                        ((LOSS, 'g.mul { %s, g:input("gain", "f32[3]") }' % LOSS), 'graph loss: input gain is f32[3]; want the batch in front'),
                        (("f32[B,12]", "f32[B,13]"), 'recipe "all": calibrate: data: demos: a row of obs/x is f32[12], but the input wants f32[13]')):
        write("models/small.lua", MODEL.replace(*change))
        write("bad.lua", open(os.path.join(work, "r.lua")).read().replace('weights = "drawn.evla"', ""))
        code_, said = evla("check", "bad.lua")
        tap.ok(code_ == 2 and why in said, f"before anything runs: {why}" + ("" if why in said else "\n# " + said))
    write("models/small.lua", MODEL)
    with h5py.File(os.path.join(work, "demos.hdf5"), "a") as f:
        del f["mask/valid"]
    code_, said = evla("check", "r.lua")
    tap.ok(code_ == 2 and 'recipe "all": accept: ' in said and "valid" in said, "a mask that is not there: " + said.splitlines()[0][-120:])
    with h5py.File(os.path.join(work, "demos.hdf5"), "a") as f:
        f["mask/valid"] = np.array([], "S8")
    code_, said = evla("check", "r.lua")
    tap.ok(code_ == 2 and "no episode is in the mask valid" in said, "a mask without episodes: " + said.splitlines()[0][-120:])
    write("learn.lua", """local evla = require "evla"
return evla.train "learn" { model = evla.model "small" {}, data = evla.dataset "demos" { path = "demos.hdf5" }, steps = 3, batch = 8 }
""")
    code_, said = evla("run", "learn.lua", "--out", "out")
    f = load("out/learn/learn/job.json")["figures"] if code_ == 0 else {}
    tap.ok(code_ == 0 and f["steps"] == 3 and "valid_loss" not in f, "training measures on it when there are some" + ("" if code_ == 0 else ": " + said))
tap.done()
