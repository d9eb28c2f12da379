#!/usr/bin/python3
"""connectors.t -- from a tower's features to rows of embeddings, against PyTorch: linears, pixel shuffle, LDPv2 and Q-Former under
the names of their files, tiny and as wide as the real ones; keys that know how old they are; and sizes that cannot be."""
import json
import os
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
import tap
from bundle import bundle
from op_oracle import np
from torch_cases import numbers, rel, save

try:
    import torch
    from torch import nn
    import torch.nn.functional as F
except ImportError:
    print("1..0 # SKIP python3-torch is not installed")
    sys.exit(0)

root = os.path.dirname(here)
evla = os.path.join(os.path.abspath(os.environ.get("EVLA_BUILD", os.path.join(root, "build"))), "evla")
tap.need(evla)
work = tempfile.TemporaryDirectory(prefix="evla-connectors-")
at = lambda *name: os.path.join(work.name, *name)


# ---- the oracles: PyTorch's own layers in the order of the published code ----

class Linears(nn.Module):
    def __init__(self, widths, names):
        super().__init__()
        self.names = names
        for name, a, b in zip(names, widths, widths[1:]):
            self.add_module(name, nn.Linear(a, b))

    def forward(self, x):
        for i, name in enumerate(self.names):
            x = getattr(self, name)(F.gelu(x) if i else x)
        return x


class PixelShuffle(nn.Module):
    """as Idefics3Connector has it: two views and permutations, one for each side"""

    def __init__(self, width, factor, out):
        super().__init__()
        self.factor = factor
        self.proj = nn.Linear(width * factor * factor, out, bias=False)

    def forward(self, x):
        b, n, c = x.shape
        side, f = int(n ** 0.5), self.factor
        x = x.view(b, side, side // f, c * f).permute(0, 2, 1, 3)
        x = x.reshape(b, side // f, side // f, c * f * f).permute(0, 2, 1, 3)
        return self.proj(x.reshape(b, n // (f * f), c * f * f))


class LDPv2(nn.Module):
    def __init__(self, width, out):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(width, out), nn.GELU(), nn.Linear(out, out))
        self.peg = nn.Conv2d(out, out, 3, 1, 1, groups=out)

    def forward(self, x):
        b, n, _ = x.shape
        side = int(n ** 0.5)
        y = self.mlp(x).permute(0, 2, 1).reshape(b, -1, side, side)
        y = F.adaptive_avg_pool2d(y, side // 2)
        return (self.peg(y) + y).flatten(2).transpose(1, 2)


class QFormer(nn.Module):
    """BERT with cross attention in every second layer, on its queries alone"""

    def __init__(self, o, ages):
        super().__init__()
        d, self.o, self.ages = o["width"], o, ages
        self.query_tokens = nn.Parameter(torch.randn(1, o["queries"], d))
        self.norm, self.seen = nn.LayerNorm(d, 1e-12), nn.LayerNorm(o["features"])
        attention = lambda k: nn.MultiheadAttention(d, o["heads"], kdim=k, vdim=k, batch_first=True)
        layers = range(o["layers"])
        self.own = nn.ModuleList(attention(d) for _ in layers)
        self.cross = nn.ModuleList(attention(o["features"]) if i % 2 == 0 else None for i in layers)
        self.fc1, self.fc2 = (nn.ModuleList(nn.Linear(a, b) for _ in layers) for a, b in ((d, o["hidden"]), (o["hidden"], d)))
        self.norms = nn.ModuleList(nn.LayerNorm(d, 1e-12) for _ in range(3 * o["layers"]))
        self.out = nn.Linear(d, o["out"])
        self.time = nn.Linear(2 * o["waves"], o["features"]) if ages else None

    def forward(self, x, age=None):
        seen = keys = self.seen(x)
        if self.ages:
            n = self.o["waves"]
            period = 10.0 * (0.01 / 10.0) ** (torch.arange(n, dtype=torch.float64) / (n - 1))
            angle = 2 * torch.pi * age.double()[:, None] / period
            keys = seen + self.time(torch.cat([angle.sin(), angle.cos()], -1).float())
        q = self.norm(self.query_tokens).expand(len(x), -1, -1)
        for i in range(self.o["layers"]):
            q = self.norms[3 * i](q + self.own[i](q, q, q, need_weights=False)[0])
            if i % 2 == 0:
                q = self.norms[3 * i + 1](q + self.cross[i](q, keys, seen, need_weights=False)[0])
            q = self.norms[3 * i + 2](q + self.fc2[i](F.gelu(self.fc1[i](q))))
        return self.out(q)

    def named(self):
        """its weights as BLIP-2's files call them"""
        d, out = self.o["width"], {}
        put = lambda name, m: out.update({f"{name}.weight": m.weight, f"{name}.bias": m.bias})
        bert = "Qformer.bert."
        out["query_tokens"] = self.query_tokens
        put(bert + "embeddings.LayerNorm", self.norm), put("ln_vision", self.seen), put("opt_proj", self.out)
        if self.ages:
            put("time_proj", self.time)
        for i in range(self.o["layers"]):
            layer = f"{bert}encoder.layer.{i}."
            for name, m, n in (("attention", self.own[i], 3 * i), ("crossattention", self.cross[i], 3 * i + 1)):
                if m is None:
                    continue
                w = m.in_proj_weight.chunk(3) if m.in_proj_weight is not None else (m.q_proj_weight, m.k_proj_weight, m.v_proj_weight)
                for what, weight, bias in zip(("query", "key", "value"), w, m.in_proj_bias.chunk(3)):
                    out[f"{layer}{name}.self.{what}.weight"], out[f"{layer}{name}.self.{what}.bias"] = weight, bias
                put(f"{layer}{name}.output.dense", m.out_proj), put(f"{layer}{name}.output.LayerNorm", self.norms[n])
            put(f"{layer}intermediate_query.dense", self.fc1[i]), put(f"{layer}output_query.dense", self.fc2[i])
            put(f"{layer}output_query.LayerNorm", self.norms[3 * i + 2])
        return {k: v.detach().numpy() for k, v in out.items()}


# ---- the cases ----
torch.manual_seed(11)
cases, oracles = [], {}


def case(name, module, named, batch, options):
    for p in module.parameters():
        if p.dim() == 1:  # biases and norms that do nothing would hide mistakes
            nn.init.normal_(p, 0.5, 0.5)
    weights = named()
    cases.append({"name": name, "batch": batch, "weights": save(at(name + ".safetensors"), weights), "options": options})
    oracles[name] = module


def add_mlp(name, widths, tokens, names, prefix, batch=1):
    m = Linears(widths, names)
    case(name, m, lambda: numbers(m, prefix), batch, {"kind": "mlp", "names": [prefix + n for n in names], "widths": widths[1:], "features": widths[0], "tokens": tokens})


def add_shuffle(name, width, side, factor, out, batch=1):
    m, weight = PixelShuffle(width, factor, out), "model.connector.modality_projection.proj"
    case(name, m, lambda: {weight + ".weight": m.proj.weight.detach().numpy()}, batch,
         {"kind": "pixel_shuffle", "names": [weight], "features": width, "tokens": side * side, "side": side, "factor": factor, "out": out})


def add_ldp(name, width, side, out, batch=1):
    m, p = LDPv2(width, out), "model.mm_projector."
    named = lambda: {p + k.replace("mlp.", "mlp.mlp.").replace("peg.", "peg.peg.0."): v for k, v in numbers(m).items()}
    case(name, m, named, batch, {"kind": "ldpv2", "names": [p + "mlp.mlp.0", p + "mlp.mlp.2", p + "peg.peg.0"], "features": width, "tokens": side * side,
                                 "side": side, "out": out})


def add_qformer(name, ages, batch=1, **o):
    m = QFormer(o, ages)
    case(name, m, m.named, batch, {"kind": "qformer", "names": ["opt_proj"], "ages": ages, **o})


add_mlp("mlp2", [24, 40, 40], 5, ["fc1", "fc2"], "projector.", 3)
add_mlp("mlp3", [24, 64, 40, 40], 5, ["fc1", "fc2", "fc3"], "projector.", 2)
add_mlp("mlp3_wide", [2176, 8704, 4096, 4096], 3, ["fc1", "fc2", "fc3"], "projector.")
add_shuffle("shuffle", 12, 6, 3, 20, 2)
add_shuffle("shuffle_wide", 768, 8, 4, 960)
add_ldp("ldpv2", 24, 6, 16, 2)
add_ldp("ldpv2_wide", 1024, 8, 2048)
tiny = {"features": 20, "tokens": 9, "layers": 3, "width": 32, "heads": 4, "hidden": 48, "queries": 5, "out": 24, "waves": 6}
add_qformer("qformer", False, 2, **tiny)
add_qformer("qformer_aged", True, 2, **tiny)
add_qformer("qformer_wide", False, features=1408, tokens=17, layers=1, width=768, heads=12, hidden=3072, queries=32, out=2560, waves=32)
with open(at("cases.json"), "w") as f:
    json.dump(cases, f)
r = subprocess.run([evla, "run", os.path.join(here, "connectors.lua"), "--trust", "-q", "--cases", at("cases.json")],
                   cwd=work.name, capture_output=True, text=True, timeout=600)
tap.ok(r.returncode == 0, "all connectors take the weights of their files", r.stderr) or tap.done()
for c in cases:
    _, parts = bundle(at("out", "connectors", c["name"], "outputs.evla"))
    given = [torch.tensor(parts["i:" + n]) for n in ("features", "age") if "i:" + n in parts]
    with torch.no_grad():
        want = oracles[c["name"]](*given).numpy()
    far = rel(parts["o:rows"], want) if parts["o:rows"].shape == want.shape else parts["o:rows"].shape
    tap.ok(isinstance(far, float) and far < 3e-6, f"{c['name']}: rows are PyTorch's within 3e-6", far)

# ---- what cannot be ----
for name, options, what in (("shuffle", {"factor": 4}, "pixel shuffle of 6x6 patches by 4: want a divisor"), ("ldpv2", {"side": 3}, "ldpv2 of 3x3 patches: want an even number"),
                            ("mlp2", {"features": 30}, "projector.fc1.weight"), ("qformer", {"layers": 4}, "it holds no weight")):
    bad = next(c for c in cases if c["name"] == name)
    with open(at("bad.json"), "w") as f:
        json.dump([{**bad, "options": {**bad["options"], **options}}], f)
    r = subprocess.run([evla, "run", os.path.join(here, "connectors.lua"), "--trust", "-q", "--cases", at("bad.json")],
                       cwd=work.name, capture_output=True, text=True, timeout=60)
    tap.ok(r.returncode in (1, 2, 3) and what in r.stderr, "refused: " + what, r.stderr)
tap.done()
