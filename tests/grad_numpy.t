#!/usr/bin/python3
"""grad_numpy.t -- the gradient of every operator against finite differences of numpy in f64, on random
shapes and with broadcasting; against PyTorch where tests/golden/grad_torch.npz has the case; and what
is refused.

The loss is the sum of the outputs times random numbers. Central differences with a step of 1e-5 are
exact to about 1e-9 of the largest gradient in f64, so what is seen is the rounding of f32: the bound is
4 units in the last place of the largest magnitude among the gradient and the inputs, times the root of
the number of terms where a gradient is a sum. Every case runs
with 1 and 2 workers; the bits may not differ (grad_runner.c).
"""
import itertools
import json
import math
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tap
from op_oracle import Grads, Refused, np

np.seterr(all="ignore")
rng = np.random.default_rng(11)
f4, f8 = np.float32, np.float64


run = Grads("ops")


def is_real(v):
    return v is not None and v.dtype == f4


def differences(forward, inputs, seeds, i, step=1e-5):
    """d loss / d inputs[i] by central differences in f64"""
    x = [v.astype(f8) if is_real(v) else v for v in inputs]
    d = np.zeros(x[i].shape)
    flat, to = x[i].reshape(-1), d.reshape(-1)
    x[i] = flat.reshape(x[i].shape)

    def loss():
        y = forward(*x)
        y = y if isinstance(y, tuple) else (y,)
        return math.fsum(float((a * s.astype(f8)).sum()) for a, s in zip(y, seeds) if s is not None)
    for k in range(flat.size):
        was = flat[k]
        flat[k] = was + step
        up = loss()
        flat[k] = was - step
        to[k] = (up - loss()) / (2 * step)
        flat[k] = was
    return d


class Family:
    """cases of one operator, told as one line"""
    def __init__(self, title):
        self.title, self.worst, self.n, self.bad = title, 0.0, 0, ""

    def see(self, op, inputs, forward, want=None, terms=1, **params):
        x = [v.astype(f8) if is_real(v) else v for v in inputs]
        y = forward(*x)
        y = y if isinstance(y, tuple) else (y,)
        seeds = [np.asarray(rng.standard_normal(np.shape(v)), f4) for v in y]
        want = [i for i, v in enumerate(inputs) if is_real(v)] if want is None else want
        self.n += 1
        try:
            got = run.grads(op, inputs, seeds, want, **params)
        except Refused as e:
            self.bad = self.bad or f"{op} {[v is not None and v.shape for v in inputs]} {params}: refused: {e.why}"
            return
        size = max([float(np.abs(v).max(initial=0)) for v in x if v is not None and is_real(np.asarray(v, f4))] + [1.0])
        for i, g in zip(want, got):
            d = differences(forward, inputs, seeds, i)
            bound = 8 * 2.0 ** -24 * math.sqrt(terms) * max(float(np.abs(d).max(initial=0)), size) + 1e-8
            off = float(np.abs(g - d).max(initial=0)) if g.size else 0.0
            if not (off <= bound) or g.shape != d.shape:
                self.bad = self.bad or f"{op} input {i} {[None if v is None else v.shape for v in inputs]} {params}: off by {off:.3g}, allowed {bound:.3g}"
            self.worst = max(self.worst, off / bound)

    def done(self):
        if self.bad:
            print("#", self.bad)
        tap.ok(not self.bad, f"{self.title} ({self.n} cases, at most {self.worst:.2f} of the bound)")


def normal(*shape, scale=1.0):
    return np.asarray(rng.standard_normal(shape) * scale, f4)


def apart(*shape):
    """numbers at least 1e-3 away from 0 and from each other"""
    n = int(np.prod(shape, dtype=np.int64))
    v = (rng.permutation(n) - n / 2 + 0.25) * (4 / max(n, 1))
    return np.asarray(v, f4).reshape(shape)


def erf(x):
    return np.vectorize(math.erf, otypes=[f8])(x)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


SHAPES = [(), (1,), (7,), (3, 5), (2, 3, 4), (0, 3), (65,), (2, 1, 3, 2)]

# ---- one operand ----

UNARY = {
    "neg": (np.negative, normal), "abs": (np.abs, apart), "exp": (np.exp, normal),
    "log": (np.log, lambda *s: np.abs(normal(*s)) + f4(0.3)), "sqrt": (np.sqrt, lambda *s: np.abs(normal(*s)) + f4(0.3)),
    "rsqrt": (lambda x: x ** -0.5, lambda *s: np.abs(normal(*s)) + f4(0.3)), "square": (np.square, normal),
    "sin": (np.sin, normal), "cos": (np.cos, normal), "erf": (erf, normal), "relu": (lambda x: np.maximum(x, 0), apart),
    "silu": (lambda x: x * sigmoid(x), normal), "sigmoid": (sigmoid, normal), "tanh": (np.tanh, normal),
    "gelu": (lambda x: x / 2 * (1 + erf(x / math.sqrt(2))), normal), "sign": (np.sign, apart)}
for op, (forward, draw) in UNARY.items():
    c = Family(f"gradient of {op}")
    for shape in SHAPES:
        c.see(op, [draw(*shape)], forward)
    if op == "gelu":
        for shape in SHAPES:
            c.see(op, [normal(*shape)], lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3))), approximate="tanh")
    c.done()
c = Family("gradient of clamp")
for shape in SHAPES:
    c.see("clamp", [apart(*shape)], lambda x: np.clip(x, -0.7, 0.9), min=-0.7, max=0.9)
    c.see("clamp", [apart(*shape)], lambda x: np.maximum(x, -0.5), min=-0.5)
c.done()

# ---- two operands ----

PAIRS = [((3, 4), (3, 4)), ((3, 4), (4,)), ((4,), (3, 4)), ((3, 1), (1, 4)), ((), (2, 3)), ((2, 3), ()),
         ((2, 1, 3), (5, 1)), ((1,), (1, 1)), ((0, 2), (1, 2)), ((2, 3, 4), (2, 3, 1))]
BINARY = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide,
          "maximum": np.maximum, "minimum": np.minimum}
for op, forward in BINARY.items():
    c = Family(f"gradient of {op}, with broadcasting")
    for sa, sb in PAIRS:
        a = normal(*sa)
        b = np.asarray(np.abs(normal(*sb)) + f4(0.5), f4) if op == "div" else normal(*sb)
        for want in ([0, 1], [0], [1]):
            c.see(op, [a, b], forward, want=want, terms=12)
    c.done()
c = Family("gradient of maximum and minimum: equal operands share it")
for op in ("maximum", "minimum"):
    a = np.array([1, 2, 3], f4)
    got = run.grads(op, [a, np.array([1, 0, 5], f4)], [np.array([2, 2, 2], f4)], [0, 1])
    hold = [[1, 2, 0], [1, 0, 2]] if op == "maximum" else [[1, 0, 2], [1, 2, 0]]
    c.n += 1
    if not all(np.array_equal(g, w) for g, w in zip(got, hold)):
        c.bad = f"{op}: {got}"
c.done()
c = Family("gradient of where, with broadcasting")
for sc, sa, sb in [((3, 4), (3, 4), (3, 4)), ((4,), (3, 4), ()), ((3, 1), (4,), (1, 4)), ((), (2,), (2,))]:
    cond = np.asarray(rng.integers(0, 2, sc), bool)
    c.see("where", [cond, normal(*sa), normal(*sb)], np.where, terms=12)
c.done()
c = Family("gradient of cast")
c.see("cast", [normal(3, 4)], lambda x: x, to="f32")
c.done()

# ---- matrices ----

c = Family("gradient of linear")
for shape, out in [((1, 9), 7), ((5, 16), 33), ((2, 3, 8), 3), ((8,), 5), ((2, 1), 1), ((0, 4), 3), ((40, 6), 2), ((2, 2, 2, 3), 4)]:
    x, w, b = normal(*shape), normal(out, shape[-1]), normal(out)
    for want in ([0, 1, 2], [1], [0], [2]):
        c.see("linear", [x, w, b], lambda x, w, b: x @ w.T + b, want=want, terms=64)
    c.see("linear", [x, w], lambda x, w: x @ w.T, terms=64)
c.done()
c = Family("gradient of matmul, with transposes and broadcasting")
for a, b in [((3, 4), (4, 5)), ((17, 7), (7, 3)), ((2, 3, 4), (4, 5)), ((2, 1, 3, 4), (5, 4, 6)), ((4, 3), (2, 3, 2)),
             ((1, 6), (6, 1)), ((0, 3), (3, 2)), ((2, 3, 3), (2, 3, 2)), ((3, 2, 4), (1, 4, 2))]:
    for ta, tb in itertools.product((False, True), (False, True)):
        x, y = normal(*a), normal(*b)
        x = np.ascontiguousarray(np.swapaxes(x, -1, -2)) if ta else x
        y = np.ascontiguousarray(np.swapaxes(y, -1, -2)) if tb else y
        for want in ([0, 1], [0], [1]):
            c.see("matmul", [x, y], lambda x, y: (np.swapaxes(x, -1, -2) if ta else x) @ (np.swapaxes(y, -1, -2) if tb else y),
                  want=want, terms=40, transpose_a=ta, transpose_b=tb)
c.done()

c = Family("gradient of solve")
for shape, k in [((1, 1), 1), ((6, 6), 1), ((3, 4, 4), 2), ((2, 17, 5, 5), 3), ((0, 2, 2), 1)]:
    a, b = normal(*shape) * np.float32(0.3) + 2 * np.eye(shape[-1], dtype="f4"), normal(*shape[:-1], k)
    for turn in (False, True):
        for want in ([0, 1], [0], [1]):
            c.see("solve", [a, b], lambda a, b: np.linalg.solve(np.swapaxes(a, -1, -2) if turn else a, b), want=want, terms=64,
                  transpose_a=turn)
c.done()

# ---- along the last axis ----


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def layer_norm(x, w=None, b=None, eps=1e-5):
    y = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)
    return y * (1 if w is None else w) + (0 if b is None else b)


def rms_norm(x, w=None, eps=1e-6):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * (1 if w is None else w)


ROWS = [(7,), (3, 5), (2, 3, 4), (1, 1), (70, 3), (2, 65)]
c = Family("gradient of softmax")
for shape in ROWS:
    c.see("softmax", [normal(*shape)], softmax, terms=shape[-1])
c.done()
c = Family("gradient of log_softmax")
for shape in ROWS:
    c.see("log_softmax", [normal(*shape)], lambda x: np.log(softmax(x)), terms=shape[-1])
c.done()
c = Family("gradients of rms_norm")
for shape in ROWS:
    c.see("rms_norm", [normal(*shape), normal(shape[-1])], rms_norm, terms=16 * shape[-1])
    c.see("rms_norm", [normal(*shape)], rms_norm, terms=16 * shape[-1])
    c.see("rms_norm", [normal(*shape), normal(shape[-1])], lambda x, w: rms_norm(x, w, 0.5), terms=16 * shape[-1], eps=0.5)
c.done()
c = Family("gradients of layer_norm")
for shape in [s for s in ROWS if s[-1] > 1]:
    x, w, b = normal(*shape), normal(shape[-1]), normal(shape[-1])
    c.see("layer_norm", [x, w, b], layer_norm, terms=64 * shape[-1])
    c.see("layer_norm", [x, w, b], layer_norm, want=[1, 2], terms=64 * shape[-1])
    c.see("layer_norm", [x, None, b], lambda x, w, b: layer_norm(x, None, b), terms=64 * shape[-1])
    c.see("layer_norm", [x, w], layer_norm, terms=64 * shape[-1])
    c.see("layer_norm", [x], layer_norm, terms=64 * shape[-1])
c.done()

# ---- reductions ----

for op, forward in {"reduce_sum": np.sum, "reduce_mean": np.mean, "reduce_max": np.max}.items():
    c = Family(f"gradient of {op}")
    for shape, axes in [((5,), [0]), ((3, 4), [1]), ((3, 4), [0]), ((3, 4), []), ((2, 3, 4), [0, 2]), ((2, 3, 4), [-2]), ((), [])]:
        for keep in (False, True):
            c.see(op, [apart(*shape)], lambda x: np.asarray(forward(x, axis=tuple(axes) or None, keepdims=keep)), axes=axes, keepdims=keep)
    c.done()
got = run.grads("reduce_max", [np.array([[3, 1, 3], [2, 2, 2]], f4)], [np.array([6, 6], f4)], [0], axes=[1])
tap.ok(np.array_equal(got[0], [[3, 0, 3], [2, 2, 2]]), "equal largest values share the gradient of reduce_max")

# ---- shapes and places ----

c = Family("gradient of reshape")
for a, b in [((6,), (2, 3)), ((2, 3), (3, 2)), ((2, 3, 4), (6, -1)), ((), (1, 1))]:
    c.see("reshape", [normal(*a)], lambda x: x.reshape(b), shape=b)
c.done()
c = Family("gradient of transpose")
for shape, perm in [((2, 3), []), ((2, 3, 4), [2, 0, 1]), ((2, 3, 4), [0, 2, 1]), ((2, 3, 4), []), ((2, 1, 3, 2), [3, 1, 0, 2]), ((4,), [])]:
    c.see("transpose", [normal(*shape)], lambda x: np.transpose(x, perm or None), perm=perm)
c.done()
c = Family("gradient of broadcast")
for a, b in [((3,), (2, 3)), ((2, 1), (2, 4)), ((), (3,)), ((1, 3, 1), (2, 2, 3, 4)), ((2, 3), (2, 3))]:
    c.see("broadcast", [normal(*a)], lambda x: np.broadcast_to(x, b), terms=16, shape=b)
c.done()
c = Family("gradients of concat")
for shapes, axis in [([(2, 3), (4, 3)], 0), ([(2, 3), (2, 1), (2, 2)], -1), ([(3,)], 0), ([(2, 0, 2), (2, 3, 2), (2, 1, 2)], 1)]:
    c.see("concat", [normal(*s) for s in shapes], lambda *x: np.concatenate(x, axis), axis=axis)
    c.see("concat", [normal(*s) for s in shapes], lambda *x: np.concatenate(x, axis), want=[len(shapes) - 1], axis=axis)
c.done()
c = Family("gradient of slice")
for shape, axis, start, stop in [((5,), 0, 1, 4), ((3, 4), 1, 0, 2), ((3, 4), -1, 2, 0), ((3, 4), 0, -2, -1), ((2, 3, 4), 1, 0, 0), ((4,), 0, 2, 2)]:
    cut = slice(start, stop if stop else None) if not (start == stop and start) else slice(start, stop)
    c.see("slice", [normal(*shape)], lambda x: x[(slice(None),) * (axis % x.ndim) + (cut,)], axis=axis, start=start, stop=stop)
c.done()
c = Family("gradient of pad")
for shape, axis, before, after in [((3,), 0, 1, 2), ((2, 3), 0, 0, 1), ((2, 3, 2), 1, 2, 0), ((2, 3), -1, 0, 0), ((0, 3), 0, 1, 1)]:
    around = lambda x: [(before, after) if i == axis % x.ndim else (0, 0) for i in range(x.ndim)]
    c.see("pad", [normal(*shape)], lambda x: np.pad(x, around(x)), axis=axis, before=before, after=after)
c.done()
c = Family("gradient of gather")
for shape, ids, axis in [((5, 3), (4,), 0), ((5, 3), (2, 2), 0), ((2, 5, 3), (4,), 1), ((2, 5, 3), (2, 3), -1), ((4,), (), 0), ((2, 3, 4, 2), (3, 2), 2)]:
    for dtype in (np.int32, np.int64):
        at = np.asarray(rng.integers(0, shape[axis], ids), dtype)
        c.see("gather", [normal(*shape), at], lambda x, k: np.take(x, k, axis), terms=4, axis=axis)
c.done()
c = Family("gradient of embedding")
for rows, dim, ids in [(5, 3, (4,)), (7, 2, (2, 3)), (3, 4, ()), (2, 65, (5,))]:
    c.see("embedding", [normal(rows, dim), np.asarray(rng.integers(0, rows, ids), np.int64)], lambda t, k: t[k], terms=6)
c.done()
c = Family("gradient of scatter_add")
for rows, shape, n in [(4, (6, 3), 1), (3, (2, 3, 2), 2), (2, (4,), 1)]:
    def add(src, k, rows=rows, n=n):
        y = np.zeros((rows,) + src.shape[n:])
        np.add.at(y, k, src)
        return y
    c.see("scatter_add", [normal(*shape), np.asarray(rng.integers(0, rows, shape[:n]), np.int64)], add, rows=rows)
c.done()

# ---- sequences ----


def attention(q, k, v, mask=None, heads=1, kv_heads=0, scale=0.0, causal=False):
    kv = kv_heads or heads
    tq, tk, d, dv = q.shape[-2], k.shape[-2], q.shape[-1] // heads, v.shape[-1] // kv
    split = lambda x, n: np.moveaxis(x.reshape(x.shape[:-1] + (n, x.shape[-1] // n)), -2, -3)
    Q, K, V = split(q, heads), np.repeat(split(k, kv), heads // kv, -3), np.repeat(split(v, kv), heads // kv, -3)
    s = (scale or 1 / math.sqrt(d)) * Q @ np.swapaxes(K, -1, -2)
    if mask is not None:
        s = np.where(mask, s, -np.inf) if mask.dtype == bool else s + mask
    if causal:
        s = np.where(np.arange(tk)[None, :] <= np.arange(tq)[:, None] + tk - tq, s, -np.inf)
    most = s.max(-1, keepdims=True)
    e = np.exp(s - np.where(np.isfinite(most), most, 0))
    total = e.sum(-1, keepdims=True)
    p = np.where(total > 0, e / np.where(total > 0, total, 1), 0)
    y = np.moveaxis(p @ V, -3, -2)
    return y.reshape(y.shape[:-2] + (heads * dv,))


c = Family("gradients of attention: heads, groups, masks, causality")
for lead, tq, tk, heads, kv, d, dv in [((), 3, 3, 1, 1, 4, 4), ((2,), 4, 4, 2, 2, 3, 3), ((2,), 3, 5, 4, 2, 2, 3), ((2, 2), 2, 3, 2, 1, 2, 2), ((1,), 1, 6, 2, 2, 4, 4), ((), 20, 20, 1, 1, 2, 2)]:
    q, k, v = normal(*lead, tq, heads * d), normal(*lead, tk, kv * d), normal(*lead, tk, kv * dv)
    masks = [None, np.asarray(rng.integers(0, 2, (tq, tk)), bool), normal(tq, tk), np.asarray(rng.integers(0, 2, lead + (heads, 1, tk)), bool)]
    for mask, causal in itertools.product(masks, (False, True)):
        p = dict(heads=heads, kv_heads=kv, causal=causal)
        ins = [q, k, v] if mask is None else [q, k, v, mask]
        c.see("attention", ins, lambda *x: attention(*x, **p), want=[0, 1, 2], terms=16 * tk, **p)
    p = dict(heads=heads, kv_heads=kv, scale=0.3)
    c.see("attention", [q, k, v], lambda *x: attention(*x, **p), want=[2, 0], terms=16 * tk, **p)
c.done()


def rope(x, cos, sin, heads=1, pairs="half"):
    y, d = x.reshape(x.shape[:-1] + (heads, -1)).copy(), cos.shape[1]
    at, next_to = (np.arange(d), np.arange(d) + d) if pairs == "half" else (2 * np.arange(d), 2 * np.arange(d) + 1)
    a, b, c, s = y[..., at].copy(), y[..., next_to].copy(), cos[:, None], sin[:, None]
    y[..., at], y[..., next_to] = a * c - b * s, a * s + b * c
    return y.reshape(x.shape)


c = Family("gradient of rope")
for lead, t, heads, width, d, pairs in [((), 3, 1, 4, 2, "half"), ((2,), 4, 2, 6, 2, "half"), ((), 5, 3, 4, 2, "interleaved"), ((2, 1), 2, 2, 5, 1, "interleaved"), ((), 70, 2, 8, 4, "half")]:
    angle = rng.uniform(-3, 3, (t, d))
    cos, sin = np.cos(angle).astype(f4), np.sin(angle).astype(f4)
    p = dict(heads=heads, pairs=pairs)
    c.see("rope", [normal(*lead, t, heads * width), cos, sin], lambda *x: rope(*x, **p), want=[0], terms=2, **p)
c.done()


def gru(x, h, w_ih, w_hh, b_ih=None, b_hh=None):
    gi, gh = x @ w_ih.T, h @ w_hh.T
    gi, gh = gi + (0 if b_ih is None else b_ih), gh + (0 if b_hh is None else b_hh)
    n = h.shape[-1]
    r, z = sigmoid(gi[..., :n] + gh[..., :n]), sigmoid(gi[..., n:2 * n] + gh[..., n:2 * n])
    fresh = np.tanh(gi[..., 2 * n:] + r * gh[..., 2 * n:])
    return (1 - z) * fresh + z * h


c = Family("gradients of gru_cell")
for lead, i, h in [((), 3, 4), ((2,), 5, 3), ((2, 3), 2, 2), ((1,), 1, 1)]:
    ins = [normal(*lead, i), normal(*lead, h), normal(3 * h, i), normal(3 * h, h), normal(3 * h), normal(3 * h)]
    c.see("gru_cell", ins, gru, terms=64)
    c.see("gru_cell", ins[:4], gru, terms=64)
    c.see("gru_cell", ins[:4] + [None, ins[5]], gru, terms=64)
    c.see("gru_cell", ins, gru, want=[1], terms=64)
    c.see("gru_cell", ins, gru, want=[0, 3], terms=64)
c.done()

# ---- losses ----


def reduced(v, how):
    return np.asarray(v if how == "none" else v.sum() if how == "sum" else v.mean())


for op, forward in {"mse_loss": lambda p, t: (p - t) ** 2, "mae_loss": lambda p, t: np.abs(p - t),
                    "huber_loss": lambda p, t: np.where(np.abs(p - t) <= 0.8, (p - t) ** 2 / 2, 0.8 * (np.abs(p - t) - 0.4))}.items():
    c = Family(f"gradients of {op}")
    for shape, how in itertools.product([(), (5,), (3, 4), (2, 3, 4)], ("mean", "sum", "none")):
        more = {"delta": 0.8} if op == "huber_loss" else {}
        a = apart(*shape)
        for want in ([0, 1], [0], [1]):
            c.see(op, [a, np.asarray(a + apart(*shape), f4)], lambda p, t: reduced(forward(p, t), how), want=want, reduction=how, **more)
    c.done()
c = Family("gradient of cross_entropy")
for shape, how, ignored in itertools.product([(4,), (3, 5), (2, 3, 4), (70, 3)], ("mean", "sum", "none"), (0, 1)):
    target = np.asarray(rng.integers(0, shape[-1], shape[:-1]), np.int64)
    if ignored and target.ndim:
        target.reshape(-1)[0] = -100

    def entropy(x, t):
        take = np.take_along_axis(np.log(softmax(x)), np.maximum(t, 0)[..., None], -1)[..., 0]
        v = np.where(t == -100, 0, -take)
        return np.asarray(v.sum() / max((t != -100).sum(), 1)) if how == "mean" else reduced(v, how)
    c.see("cross_entropy", [normal(*shape), target], entropy, terms=shape[-1], reduction=how)
c.done()
got = run.grads("cross_entropy", [normal(2, 3), np.array([-100, -100])], [np.array(1, f4)], [0])
tap.ok(np.array_equal(got[0], np.zeros((2, 3))), "targets that are all ignored give zeros, not NaN")

# ---- what the output does not depend on, and what is refused ----

got = run.grads("sign", [normal(3)], [normal(3)], [0])
tap.ok(np.array_equal(got[0], np.zeros(3)), "what steps has a gradient of zeros")


def refuse(code, says, op, inputs, seeds, want=(0,), **params):
    try:
        run.grads(op, inputs, seeds, list(want), **params)
        why = None
    except Refused as e:
        why = e.why if e.code == code else f"code {e.code}: {e.why}"
    good = why is not None and all(s in why for s in says)
    if not good:
        print("# said:", why)
    tap.ok(good, f"refused: {op}: {says[-1]}")


E_SHAPE, E_MISSING = -2, -9
one = np.array(1, f4)
refuse(E_MISSING, ["case:2", "g/conv2d.0", "the operator conv2d has no gradient"], "conv2d",
       [normal(1, 2, 4, 4), normal(3, 2, 3, 3)], [normal(1, 3, 2, 2)])
for pool in ("max_pool2d", "avg_pool2d"):
    refuse(E_MISSING, [f"the operator {pool} has no gradient"], pool, [normal(1, 2, 4, 4)], [normal(1, 2, 2, 2)], kernel_size=[2, 2])
refuse(E_MISSING, ["g/attention.0", "passes no gradient to its mask"], "attention",
       [normal(3, 4), normal(3, 4), normal(3, 4), normal(3, 3)], [normal(3, 4)], want=(0, 3), heads=1)
refuse(E_MISSING, ["g/rope.0", "rope passes no gradient to its angles"], "rope", [normal(3, 4), normal(3, 2), normal(3, 2)], [normal(3, 4)], want=(1,), heads=1)
refuse(E_SHAPE, ["graph g", "start from one real number", "f32[3]"], "neg", [normal(3)], [])
refuse(E_SHAPE, ["start from one real number", "is bool"], "less", [one, one], [])

# ---- PyTorch ----

golden = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden/grad_torch.npz")
cases = np.load(golden)
names = sorted({k.split("/")[0] for k in cases.files})
for name in names:
    meta = json.loads(str(cases[f"{name}/meta"]))
    ins = [None if f"{name}/in{i}" not in cases.files else cases[f"{name}/in{i}"] for i in range(meta["n_in"])]
    got = run.grads(meta["op"], ins, [cases[f"{name}/seed"]], meta["want"], **meta["params"])
    worst = 0.0
    for i, g in zip(meta["want"], got):
        d = cases[f"{name}/d{i}"]
        worst = max(worst, float(np.abs(g - d).max()) / max(float(np.abs(d).max()), 1e-6))
    tap.ok(len(got) > 0 and worst < 1e-6, f"PyTorch agrees about {name}: {worst:.1e} of the largest, allowed 1e-6")

tap.ok(run.finish() == 0, "the runner ends well")
tap.done()
