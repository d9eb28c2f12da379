#!/usr/bin/python3
"""grad_torch.py -- makes grad_torch.npz and adamw_torch.h: gradients and a training run by PyTorch,
in f64 from f32 inputs. Needs python3-torch; the results are committed, so tests do not.

    python3 tests/golden/grad_torch.py
"""
import json
import math
import os

import numpy as np
import torch
import torch.nn.functional as F

torch.manual_seed(5)
rng = np.random.default_rng(5)
here = os.path.dirname(os.path.abspath(__file__))
out = {}


def case(name, op, forward, inputs, want, **params):
    x = [None if v is None else torch.tensor(v, dtype=torch.float64 if v.dtype == np.float32 else None,
                                             requires_grad=v.dtype == np.float32) for v in inputs]
    y = forward(*x)
    seed = np.asarray(rng.standard_normal(tuple(y.shape)), np.float32)
    (y * torch.tensor(seed, dtype=torch.float64)).sum().backward()
    out[f"{name}/meta"] = np.array(json.dumps({"op": op, "n_in": len(inputs), "want": want, "params": params}))
    out[f"{name}/seed"] = seed
    for i, v in enumerate(inputs):
        if v is not None:
            out[f"{name}/in{i}"] = v
    for i in want:
        out[f"{name}/d{i}"] = x[i].grad.numpy().astype(np.float32)


def normal(*shape):
    return np.asarray(rng.standard_normal(shape), np.float32)


x, w, b = normal(6, 10), normal(7, 10), normal(7)
case("linear", "linear", F.linear, [x, w, b], [0, 1, 2])
case("layer_norm", "layer_norm", lambda x, w, b: F.layer_norm(x, (10,), w, b), [x, normal(10), normal(10)], [0, 1, 2])
case("softmax", "softmax", lambda x: F.softmax(x, -1), [x], [0])
case("log_softmax", "log_softmax", lambda x: F.log_softmax(x, -1), [x], [0])
for op in ("gelu", "silu", "tanh", "sigmoid", "relu"):
    case(op, op, getattr(torch, op, None) or getattr(F, op), [x], [0])
case("gelu_tanh", "gelu", lambda x: F.gelu(x, approximate="tanh"), [x], [0], approximate="tanh")
case("maximum", "maximum", torch.maximum, [x, np.where(x > 0.5, x, normal(6, 10)).astype(np.float32)], [0, 1])
case("reduce_max", "reduce_max", lambda x: x.amax(-1), [np.round(x)], [0], axes=[-1])
t = np.asarray(rng.integers(0, 10, 6), np.int64)
t[2] = -100
case("cross_entropy", "cross_entropy", lambda x, t: F.cross_entropy(x, t), [x, t], [0])
for how in ("mean", "sum", "none"):
    case(f"huber_{how}", "huber_loss", lambda p, q: F.huber_loss(p, q, reduction=how, delta=0.7), [x, normal(6, 10)], [0, 1], reduction=how, delta=0.7)
    case(f"mse_{how}", "mse_loss", lambda p, q: F.mse_loss(p, q, reduction=how), [x, normal(6, 10)], [0, 1], reduction=how)
    case(f"mae_{how}", "mae_loss", lambda p, q: F.l1_loss(p, q, reduction=how), [x, normal(6, 10)], [0, 1], reduction=how)
case("embedding", "embedding", lambda t, k: F.embedding(k, t), [normal(5, 4), np.asarray(rng.integers(0, 5, (2, 6)), np.int64)], [0])


def gru(x, h, wi, wh, bi, bh):
    cell = torch.nn.GRUCell(x.shape[1], h.shape[1]).double()
    return torch.nn.utils.stateless.functional_call(
        cell, {"weight_ih": wi, "weight_hh": wh, "bias_ih": bi, "bias_hh": bh}, (x, h))


case("gru_cell", "gru_cell", gru, [normal(4, 5), normal(4, 6), normal(18, 5), normal(18, 6), normal(18), normal(18)], [0, 1, 2, 3, 4, 5])


def attention(q, k, v, mask=None, heads=4, kv=2, causal=False):
    def split(x, n):
        return x.reshape(*x.shape[:-1], n, -1).transpose(-2, -3)
    Q, K, V = split(q, heads), split(k, kv).repeat_interleave(heads // kv, -3), split(v, kv).repeat_interleave(heads // kv, -3)
    s = Q @ K.transpose(-1, -2) / math.sqrt(Q.shape[-1])
    if mask is not None:
        s = s.masked_fill(~mask, -math.inf)
    if causal:
        n, m = s.shape[-2:]
        s = s.masked_fill(torch.ones(n, m, dtype=torch.bool).triu(m - n + 1), -math.inf)
    y = (torch.softmax(s, -1) @ V).transpose(-2, -3)
    return y.reshape(*y.shape[:-2], -1)


q, k, v = normal(2, 5, 16), normal(2, 7, 8), normal(2, 7, 6)
case("attention", "attention", attention, [q, k, v], [0, 1, 2], heads=4, kv_heads=2)
case("attention_causal", "attention", lambda *a: attention(*a, causal=True), [q, k, v], [0, 1, 2], heads=4, kv_heads=2, causal=True)
mask = rng.integers(0, 2, (5, 7)).astype(bool)
mask[:, 3] = True
case("attention_mask", "attention", attention, [q, k, v, mask], [0, 1, 2], heads=4, kv_heads=2)
np.savez_compressed(os.path.join(here, "grad_torch.npz"), **out)

# ---- a training run: t_grad.c draws the same numbers from the same generator ----


class Draw:
    """splitmix64, the top 24 bits as a fraction of [-1, 1)"""
    def __init__(self, seed):
        self.s = seed

    def one(self):
        m = (1 << 64) - 1
        self.s = z = (self.s + 0x9e3779b97f4a7c15) & m
        z = ((z ^ z >> 30) * 0xbf58476d1ce4e5b9) & m
        z = ((z ^ z >> 27) * 0x94d049bb133111eb) & m
        return ((z ^ z >> 31) >> 40) / float(1 << 23) - 1

    def tensor(self, *shape):
        n = int(np.prod(shape))
        return torch.tensor([self.one() for _ in range(n)], dtype=torch.float64).reshape(shape)


def train(dtype, clip):
    d = Draw(3)
    x, y = d.tensor(32, 6).to(dtype), d.tensor(32, 2).to(dtype)
    names = ["a.w", "a.b", "b.w", "b.b"]
    w = [(d.tensor(*s) * 0.5).to(dtype).requires_grad_() for s in [(16, 6), (16,), (2, 16), (2,)]]
    opt = torch.optim.AdamW([{"params": [w[0], w[2]], "weight_decay": 0.1}, {"params": [w[1], w[3]], "weight_decay": 0.0}],
                            lr=0.01, betas=(0.9, 0.95), eps=1e-8)
    losses, norms = [], []
    for step in range(50):
        opt.param_groups[0]["lr"] = opt.param_groups[1]["lr"] = 0.01 * min(1, (step + 1) / 10)
        opt.zero_grad()
        loss = F.mse_loss(F.linear(torch.tanh(F.linear(x, w[0], w[1])), w[2], w[3]), y)
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(w, clip)) if clip else
                     float(torch.sqrt(sum((v.grad ** 2).sum() for v in w))))
        opt.step()
        losses.append(float(loss))
    return losses, norms


with open(os.path.join(here, "adamw_torch.h"), "w") as f:
    f.write("/* Made by grad_torch.py with PyTorch %s: an MLP of 6, 16, 2 on a fixed regression,\n"
            " * 50 steps of AdamW with warm-up; losses before each step, norms before clipping. */\n// clang-format off\n" % torch.__version__)
    for name, clip in [("plain", 0.0), ("clipped", 0.25)]:
        losses, norms = train(torch.float64, clip)
        for what, row in [("loss", losses), ("norm", norms)]:
            f.write("static const double torch_%s_%s[50] = {\n" % (name, what))
            for i in range(0, 50, 5):
                f.write("    " + " ".join("%.9g," % v for v in row[i:i + 5]) + "\n")
            f.write("};\n")
    f.write("// clang-format on\n")
print("grad_torch.npz: %d bytes; adamw_torch.h" % os.path.getsize(os.path.join(here, "grad_torch.npz")))
