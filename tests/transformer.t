#!/usr/bin/python3
"""transformer.t -- pipelines/transformer.lua against numpy in float64: attention, RMSNorm, SwiGLU, residuals."""
import json
import os
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
import tap
from bundle import bundle, far
from op_oracle import np

root = os.path.dirname(here)
evla = os.path.join(os.path.abspath(os.environ.get("EVLA_BUILD", os.path.join(root, "build"))), "evla")


def rms_norm(x, w):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6) * w


def attention(q, k, v, heads):
    b, t, d = q.shape
    split = lambda x: x.reshape(b, t, heads, d // heads).transpose(0, 2, 1, 3)
    q, k, v = split(q), split(k), split(v)
    s = q @ k.transpose(0, 1, 3, 2) / np.sqrt(d // heads)
    p = np.exp(s - s.max(-1, keepdims=True))
    return (p / p.sum(-1, keepdims=True) @ v).transpose(0, 2, 1, 3).reshape(b, t, d)


def forward(w, x, layers, heads):
    w = {k[2:]: v.astype(np.float64) for k, v in w.items()}
    x = x.astype(np.float64) @ w["in.w"].T + w["in.b"]
    for i in range(1, layers + 1):
        at = lambda n: w[f"blk.{i}.{n}.w"]
        h = rms_norm(x, at("attn_norm"))
        x = x + attention(h @ at("q").T, h @ at("k").T, h @ at("v").T, heads) @ at("o").T
        h = rms_norm(x, at("ffn_norm"))
        gate = h @ at("gate").T
        x = x + (gate / (1 + np.exp(-gate)) * (h @ at("up").T)) @ at("down").T
    return np.tanh(rms_norm(x, w["out_norm.w"]).mean(1) @ w["head.w"].T + w["head.b"])


with tempfile.TemporaryDirectory(prefix="evla-transformer-") as work:
    for batch, steps, layers in ((1, 32, 4), (3, 7, 2)):
        out = os.path.join(work, f"{batch}")
        done = subprocess.run([evla, "run", "pipelines/transformer.lua", "--out", out, "--runs", "1", "--batch", str(batch),
                               "--steps", str(steps), "--layers", str(layers)], cwd=root, capture_output=True, text=True)
        if not tap.ok(done.returncode == 0, f"{layers} blocks over {batch} x {steps} observations run" + ("" if done.returncode == 0 else ": " + done.stderr)):
            continue
        w = bundle(f"{out}/transformer/transformer/transformer.evla")[1]
        io = bundle(f"{out}/transformer/run/outputs.evla")[1]
        gap = far(io["o:action"], forward(w, io["i:observations"], layers, 4))
        tap.ok(gap < 2e-5, f"the action is numpy's within 2e-5 of the greatest (found {gap:.1e}; f32 sums over {layers} blocks)")
        with open(f"{out}/transformer/run/job.json") as f:
            f = json.load(f)["figures"]
        tap.ok(f["arena_bytes"] <= 1.05 * f["lower_bound_bytes"],
               f"its arena, {f['arena_bytes']} bytes, is within 1.05x of the lower bound, {f['lower_bound_bytes']}")
    last = ["run", "pipelines/transformer.lua", "--out", out, "--runs", "1", "--batch", "3", "--steps", "7", "--layers", "2", "--json"]
    states = []
    for kernels in ("", "", "ops"):
        env = dict(os.environ, EVLA_KERNEL=kernels) if kernels else {k: v for k, v in os.environ.items() if k != "EVLA_KERNEL"}
        done = subprocess.run([evla, *last], cwd=root, capture_output=True, text=True, env=env)
        states.append({j["name"]: j["state"] for j in json.loads(done.stdout)["jobs"]}["run"])
    tap.ok(states[1] == "skipped" and states[2] == "done", f"other kernels make the job run again, the same ones do not {states}")
tap.done()
