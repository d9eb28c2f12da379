#!/usr/bin/python3
"""ops_numpy.t -- every operator of plugins/ops against numpy in f64, and every refusal's sentence.

Each case also runs with its tiles shuffled and in place (op_runner.c): the bits may not change.
"""
import itertools
import math
import os
import sys
import warnings

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tap
from op_oracle import Bf16, Close, Refused, Runner, Weight, U, roundings, np

np.seterr(all="ignore")
warnings.simplefilter("ignore")  # means of nothing are NaN, as here
rng = np.random.default_rng(7)
ops = Runner("ops")
f4, f8 = np.float32, np.float64


def normal(*shape, scale=1.0):
    return (rng.standard_normal(shape) * scale).astype(f4)


def ints(low, high, *shape, dtype=np.int64):
    return rng.integers(low, high, shape).astype(dtype)


# ---- matrices ----

c = Close(tap)
shapes = [((1, 9), 7), ((5, 16), 64), ((17, 33), 65), ((3, 4, 8), 3), ((8,), 5), ((2, 1), 1),
          ((0, 4), 3), ((2, 0), 4), ((1, 5000), 6), ((33, 512), 130), ((2, 513), 66), ((4, 1025), 1)]
for shape, out in shapes:
    for bias, typed in itertools.product((0, 1), (0, 1)):
        x, w, b = normal(*shape), normal(out, shape[-1]), normal(out)
        wrap = (lambda v: v) if typed else Weight
        ins = [x, wrap(w)] + [wrap(b)] * bias
        y = ops.run("linear", *ins, out=0 if typed else out)
        want = x.astype(f8) @ w.astype(f8).T + (b if bias else 0)
        size = np.abs(x).astype(f8) @ np.abs(w).astype(f8).T + (np.abs(b) if bias else 0)
        c.see(y, want, U * (roundings(shape[-1]) + 1) * size, f"{shape}")
c.done("linear is x w^T + b", "64 + K/512 + 6 roundings of the sum of magnitudes")

c = Close(tap)
for (a, b), ta, tb in itertools.product(
        [((3, 4), (4, 5)), ((17, 70), (70, 33)), ((2, 3, 4), (4, 5)), ((2, 1, 3, 4), (5, 4, 6)),
         ((4,), None), ((1, 600), (600, 1)), ((0, 3), (3, 2)), ((3, 0), (0, 2)),
         ((2, 3, 1030), (2, 1030, 17))], (False, True), (False, True)):
    if b is None:
        continue
    x, y = normal(*a), normal(*b)
    want = x.astype(f8) @ y.astype(f8)
    size = np.abs(x).astype(f8) @ np.abs(y).astype(f8)
    got = ops.run("matmul", np.swapaxes(x, -1, -2) if ta else x, np.swapaxes(y, -1, -2) if tb else y,
                  transpose_a=ta, transpose_b=tb)
    c.see(got, want, U * roundings(a[-1]) * size, f"{a} {b} {ta} {tb}")
c.done("matmul multiplies, broadcasts and transposes", "as linear")

c = Close(tap)
for shape, k in (((1, 1), 1), ((6, 6), 1), ((40, 6, 6), 7), ((2, 3, 5, 5), 2), ((0, 4, 4), 1), ((33, 33), 3)):
    a, b = normal(*shape), normal(*shape[:-1], k)
    a[..., 0, 0] = 0 if shape[-1] > 1 else 2 # wants a pivot
    for turn in (False, True):
        want = np.linalg.solve(np.swapaxes(a, -1, -2).astype(f8) if turn else a.astype(f8), b.astype(f8))
        c.see(ops.run("solve", a, b, transpose_a=turn), want, 2 * U * np.abs(want) + 1e-12 * np.linalg.cond(a.astype(f8)).max(initial=1), f"{shape}")
c.done("solve gives numpy.linalg.solve's answer", "one rounding to f32 of an f64 solution")
singular = ops.run("solve", np.zeros((2, 2), f4), np.ones((2, 1), f4))
tap.ok(not np.isfinite(singular).any(), "a singular matrix gives no number")

c = Close(tap)
x, w = normal(6, 700), normal(50, 700)
lin = ops.run("linear", x, w)
for ta, tb in itertools.product((False, True), (False, True)):
    c.exact(ops.run("matmul", x.T if ta else x, w if tb else w.T, transpose_a=ta, transpose_b=tb), lin)
for rows in (1, 2, 5):
    c.exact(ops.run("linear", x[:rows], w), lin[:rows], f"{rows} rows")
    c.exact(ops.run("linear", x, w[7:7 + rows]), lin[:, 7:7 + rows], f"{rows} columns")
c.done("a sum's bits depend on K alone: linear, matmul, transposes, parts of either")

c = Close(tap)
for shape, out in (((9, 40), 70), ((2, 3, 17), 5), ((13,), 6)):
    x, w, b = normal(*shape), normal(out, shape[-1]), normal(out)
    full, row, col = normal(*shape[:-1], out), normal(out), normal(*shape[:-1], 1)
    chains = [[("relu",)], [("gelu",)], [("gelu", -1, 0, {"approximate": "tanh"})], [("silu",)],
              [("sigmoid",)], [("tanh",)], [("add", 3, 0)], [("mul", 3, 1)],
              [("mul", 3, 0), ("relu",), ("add", 4, 1), ("gelu",)],
              [("silu",), ("mul", 4, 0), ("add", 5, 0)]]
    for chain, bias in itertools.product(chains, (True, False)):
        # without a bias its slot is empty, or an operand's
        ins = [x, w, b if bias else None, full, row, col]
        y = ops.run("linear", *ins[:3])
        for t in chain:
            more = t[3] if len(t) > 3 else {}
            operand = [ins[t[1]]] if len(t) > 1 and t[1] >= 0 else []
            pair = [y] + operand
            y = ops.run(t[0], *(pair[::-1] if len(t) > 2 and t[2] else pair), **more)
        c.exact(ops.run("linear", *ins, tails=chain), y, f"{shape} {chain}")
        if not bias and {t[1] for t in chain if len(t) > 1} == {3}:
            moved = [(t[0], t[1] - 1, *t[2:]) if len(t) > 1 and t[1] > 0 else t for t in chain]
            c.exact(ops.run("linear", x, w, full, tails=moved), y, f"{shape} {moved}")
    a = ops.run("matmul", x.reshape(-1, shape[-1]), w, transpose_b=True)
    c.exact(ops.run("matmul", x.reshape(-1, shape[-1]), w, row, transpose_b=True,
                    tails=[("add", 2, 0), ("tanh",)]), ops.run("tanh", ops.run("add", a, row)), "matmul")
c.done("tails of linear and matmul have the bits of the operators alone")

# ---- element by element ----

special = np.array([0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1e-38, 3e38, -3e38, 88.5,
                    -103, 89, 1e-3, 0.625, 0.9277, -0.9277, 4.0], f4)
wide = np.concatenate([special, normal(3000), normal(3000, scale=30),
                       np.exp(normal(500, scale=20)).astype(f4)])
erf = np.vectorize(math.erf, otypes=[f8])


def gelu_tanh(x):
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))


def gelu_none(x):
    return np.where(x == -np.inf, np.nan, x / 2 * (1 + erf(x / math.sqrt(2))))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# bound in units of U relative to the result (2 = one unit in the last place), and absolute
unary = [
    ("neg", lambda x: -x, 0, 0), ("abs", np.abs, 0, 0), ("exp", np.exp, 2.1, 0),
    ("log", np.log, 2, 0), ("sqrt", np.sqrt, 1, 0), ("rsqrt", lambda x: 1 / np.sqrt(x), 2, 0),
    ("square", np.square, 1, 0), ("sin", np.sin, 1.1, 0), ("cos", np.cos, 1.1, 0),
    ("erf", erf, 2.2, 0), ("relu", lambda x: np.where(x > 0, x, np.where(np.isnan(x), x, 0)), 0, 0),
    ("tanh", np.tanh, 2.8, 0), ("sign", np.sign, 0, 0),
    # 1 + e^-x: two roundings beside exp's, and where e^-x leaves f32's range the result is 0
    ("sigmoid", sigmoid, 6, 2e-38),
    ("silu", lambda x: np.where(x == -np.inf, np.nan, x * sigmoid(x)), 7, 1e-36),
]
for name, ref, units, absolute in unary:
    c = Close(tap)
    for x in (wide, normal(3, 1, 5), normal(0, 4), np.array(1.5, f4), normal(40000)):
        want = ref(x.astype(f8))
        with np.errstate(all="ignore"):
            want = np.where(np.abs(want) >= 3.4028235677973366e38, np.sign(want) * np.inf, want)
        c.see(ops.run(name, x), want, units * U * np.abs(want) + absolute + 2.0 ** -149)
    c.done(f"{name} in f32", f"{units / 2:g} units in the last place" if units else "")
for how, ref in (("none", gelu_none), ("tanh", gelu_tanh)):
    c = Close(tap)
    x = wide[np.abs(wide) < 1e5]
    want = ref(x.astype(f8))
    c.see(ops.run("gelu", x, approximate=how), want, 8 * U * np.abs(x))
    c.done(f"gelu, approximate {how}", "4 units in the last place of x: 1 + erf cancels below 0")
c = Close(tap)
for low, high in ((-1.0, 1.0), (0.0, 6.0), (-1e300, 2.0), (-1e300, 1e300)):
    x = wide[~np.isnan(wide)]
    c.see(ops.run("clamp", x, min=low, max=high), np.clip(x.astype(f8), low if low > -1e39 else -np.inf, high if high < 1e39 else np.inf), 0)
c.done("clamp keeps to its bounds")
tap.ok(np.isnan(ops.run("clamp", np.array([np.nan], f4), min=0.0, max=1.0)[0]), "clamp passes NaN on")

pairs = [((4, 5), (4, 5)), ((4, 5), (5,)), ((5,), (4, 5)), ((4, 5), ()), ((), (4, 5)), ((4, 1), (4, 5)),
         ((2, 3, 4), (3, 1)), ((2, 1, 4), (3, 1)), ((0, 3), (3,)), ((0, 3), (1, 1)), ((), ()),
         ((300, 200), (200,)), ((70, 1, 3), (1, 90, 1)), ((40000,), (40000,)), ((2, 3, 4, 5), (2, 1, 4, 1))]
binary = [("add", np.add, 1), ("sub", np.subtract, 1), ("mul", np.multiply, 1), ("div", np.divide, 1),
          ("maximum", np.maximum, 0), ("minimum", np.minimum, 0)]
for name, ref, units in binary:
    c = Close(tap)
    for sa, sb in pairs:
        a, b = normal(*sa), normal(*sb)
        want = ref(a.astype(f8), b.astype(f8))
        c.see(ops.run(name, a, b), want, units * U * np.abs(want), f"{sa} {sb}")
        for dtype in (np.int32, np.int64) if name != "div" else ():
            info = np.iinfo(dtype)
            a, b = (rng.integers(info.min, info.max, s, dtype=dtype, endpoint=True) for s in (sa, sb))
            a, b = np.asarray(a, dtype), np.asarray(b, dtype)
            c.exact(ops.run(name, a, b), np.asarray(ref(a, b), dtype), f"{dtype} {sa} {sb}")
    nan = ops.run(name, np.array([np.nan, 1], f4), np.array([1, np.nan], f4))
    c.see(nan, np.array([np.nan, np.nan]), 0, "NaN")
    c.done(f"{name} broadcasts, in f32" + (", i32, i64" if name != "div" else ""),
           "half a unit in the last place" if units else "")
for name, ref in (("less", np.less), ("equal", np.equal)):
    c = Close(tap)
    for (sa, sb), dtype in itertools.product(pairs, (f4, np.int32, np.int64)):
        a, b = ints(-2, 3, *sa).astype(dtype), ints(-2, 3, *sb).astype(dtype)
        c.exact(ops.run(name, a, b), np.asarray(ref(a, b)), f"{sa} {sb}")
    c.exact(ops.run(name, np.array([np.nan], f4), np.array([np.nan], f4)), np.array([False]))
    c.done(f"{name} compares f32, i32, i64")
c = Close(tap)
for shape in (((3, 4), (3, 4), (3, 4)), ((4,), (3, 4), ()), ((3, 1), (1, 4), (3, 4)), ((2, 1, 1), (3, 1), (4,)),
              ((0, 2), (2,), (1, 1)), ((200, 300), (300,), (200, 1))):
    for dtype in (f4, f8, np.uint8, np.int16, np.bool_):
        m, a, b = ints(0, 2, *shape[0]).astype(bool), ints(0, 9, *shape[1]).astype(dtype), \
            ints(0, 9, *shape[2]).astype(dtype)
        m, a, b = np.asarray(m), np.asarray(a), np.asarray(b)
        c.exact(ops.run("where", m, a, b), np.where(m, a, b), f"{shape} {dtype}")
c.done("where picks, any format, three-way broadcast")

c = Close(tap)
bounds = {np.int8: (-128, 127), np.int16: (-2 ** 15, 2 ** 15 - 1), np.int32: (-2 ** 31, 2 ** 31 - 1),
          np.int64: (-2 ** 63, 2 ** 63 - 1), np.uint8: (0, 255), np.uint16: (0, 65535),
          np.uint32: (0, 2 ** 32 - 1), np.uint64: (0, 2 ** 64 - 1)}
edges = np.array([0, -0.0, 0.5, -0.5, 1.9, -1.9, 126.9, 127, 128, -128.9, -129, 255.5, 256, 65535.9, 65536,
                  2147483647.0, 2147483648.0, -2147483648.0, -2147483649.0, 4294967295.0, 4294967296.0, 9.3e18,
                  -9.3e18, 1.8e19, 1.9e19, 1e30, -1e30, np.inf, -np.inf, np.nan])
for source in (f4, f8):
    x = edges.astype(source)
    for to, (low, high) in bounds.items():
        want = [0 if v != v else low if v <= low else high if v >= high else int(v) for v in x.tolist()]
        c.exact(ops.run("cast", x, to=np.dtype(to).name.replace("uint", "u").replace("int", "i")),
                np.array(want, dtype=to), f"{source} to {to}")
    c.exact(ops.run("cast", x, to="bool"), x != 0)
for source, to in itertools.product(list(bounds) + [np.bool_], list(bounds) + [f4, f8, np.bool_]):
    low, high = bounds.get(source, (0, 1))
    x = np.concatenate([np.array([low, high, 0, 1], source),
                        rng.integers(low, high, 200, dtype=source if source != np.bool_ else np.int8,
                                     endpoint=True).astype(source)])
    name = np.dtype(to).name
    name = {"float32": "f32", "float64": "f64"}.get(name, name.replace("uint", "u").replace("int", "i"))
    c.exact(ops.run("cast", x, to=name), x.astype(to), f"{source} to {to}")
c.exact(ops.run("cast", wide.astype(f8) * 1.0000001, to="f32"), (wide.astype(f8) * 1.0000001).astype(f4), "f64 to f32")
c.exact(ops.run("cast", normal(0, 3), to="i32"), np.zeros((0, 3), np.int32))
c.done("cast: truncates and saturates to integers, wraps between them, rounds to nearest")

# ---- along the last axis ----

rows = [(4, 7), (1, 1), (3, 5, 16), (2, 600), (1, 5000), (0, 4), (65, 512), (3, 0), (9,)]
for name in ("softmax", "log_softmax"):
    c = Close(tap)
    for shape in rows:
        for scale in (1, 30):
            x = normal(*shape, scale=scale)
            e = x.astype(f8) - (x.max(-1, keepdims=True) if shape[-1] else 0)
            total = np.exp(e).sum(-1, keepdims=True)
            k = roundings(shape[-1])
            if name == "softmax":
                want = np.exp(e) / total
                bound = U * (k + 6 + np.abs(e)) * want + 1e-44
            else:
                want = e - np.log(total)
                bound = U * (k + 8 + 2 * np.abs(e) + np.abs(want)) + 1e-44
            c.see(ops.run(name, x), want, bound, f"{shape}")
    c.done(f"{name} over the last axis", "the sum's roundings, and x - max rounds once")
y = ops.run("softmax", np.array([[0, -np.inf, 0], [3e38, 3e38, -3e38]], f4))
tap.ok(np.array_equal(y, [[.5, 0, .5], [.5, .5, 0]]), "softmax: -inf weighs nothing, nothing overflows")
for name in ("rms_norm", "layer_norm"):
    c = Close(tap)
    for shape, have in itertools.product(rows, range(4)):
        x, w, b = normal(*shape, scale=3) + f4(1), normal(shape[-1]), normal(shape[-1])
        has_w, has_b = have & 1, name == "layer_norm" and have & 2
        ins = [x, Weight(w) if has_w else None] + ([b if has_b else None] if name == "layer_norm" else [])
        z = x.astype(f8)
        if name == "layer_norm":
            z = z - z.mean(-1, keepdims=True)
        scale = 1 / np.sqrt((z * z).mean(-1, keepdims=True) + 1e-5)
        want = z * scale * (w if has_w else 1) + (b if has_b else 0)
        k = roundings(shape[-1])
        size = (np.abs(z) + np.abs(x).mean(-1, keepdims=True)) * scale * (np.abs(w) if has_w else 1)
        c.see(ops.run(name, *ins, eps=1e-5), want, U * 2 * (k + 6) * (size + (np.abs(b) if has_b else 0)), f"{shape}")
    c.done(f"{name}, with and without weights", "the sums' roundings, twice")

# ---- reductions ----

cases = [((4, 5), None), ((4, 5), [0]), ((4, 5), [1]), ((4, 5), [-1, 0]), ((2, 3, 4), [1]), ((2, 3, 4), [0, 2]),
         ((2, 3, 4, 5), [1, 3]), ((2, 3, 4, 5), [0, 1]), ((600, 3), [0]), ((3, 700), [1]), ((), None), ((3, 0), [1]),
         ((0, 3), [1]), ((1030, 70), [0]), ((5, 40, 30), [1]), ((2000,), None), ((3, 1, 2), [1]), ((70, 90, 2), [0, 1])]
for name, ref in (("reduce_sum", np.sum), ("reduce_mean", np.mean), ("reduce_max", np.max)):
    c = Close(tap)
    for (shape, axes), keep in itertools.product(cases, (False, True)):
        if name == "reduce_max" and 0 in [shape[a] for a in axes or range(len(shape))]:
            continue
        x = np.asarray(normal(*shape))
        axis = tuple(axes) if axes else None
        more = {"axes": axes} if axes else {}
        want = np.asarray(ref(x.astype(f8), axis=axis, keepdims=keep))
        size = np.asarray(np.abs(x).astype(f8).sum(axis=axis, keepdims=keep))
        k = x.size // max(1, want.size)
        bound = 0 if name == "reduce_max" else U * (roundings(k) + 1) * size / (k if name == "reduce_mean" and k else 1)
        c.see(ops.run(name, x, keepdims=keep, **more), want, bound, f"{shape} {axes}")
    c.done(f"{name} over any axes", "64 + K/512 + 6 roundings" if name != "reduce_max" else "")
c = Close(tap)
x = normal(700, 5)
c.exact(ops.run("reduce_sum", x, axes=[0]), ops.run("reduce_sum", np.ascontiguousarray(x.T), axes=[1]))
c.exact(ops.run("reduce_sum", x.reshape(70, 10, 5), axes=[0, 1]), ops.run("reduce_sum", x, axes=[0]))
c.exact(ops.run("matmul", np.ones((1, 700), f4), x)[0], ops.run("reduce_sum", x, axes=[0]))
c.done("reduce_sum has the same bits along rows and columns")

# ---- shapes and places ----

formats = (f4, f8, np.uint8, np.int16, np.bool_, np.int64)
c = Close(tap)
for dtype in formats:
    x = ints(0, 2, 2, 3, 4).astype(dtype)
    for shape in ([24], [4, -1], [-1, 2, 1, 3], [2, 3, 4], [2, 3, 4, 1]):
        c.exact(ops.run("reshape", x, shape=shape), x.reshape(shape))
c.exact(ops.run("reshape", normal(0, 3), shape=[3, 0]), np.zeros((3, 0), f4))
c.exact(ops.run("reshape", np.array([5], f4), shape=[]), np.array(5, f4))
c.done("reshape, any format")
c = Close(tap)
for dtype in formats:
    for shape in ((3, 4), (2, 3, 4), (2, 3, 4, 5), (1, 5), (0, 4), (200, 130), ()):
        x = np.asarray(ints(0, 100, *shape).astype(dtype))
        for perm in list(itertools.permutations(range(len(shape))))[:8]:
            c.exact(ops.run("transpose", x, **({"perm": perm} if perm else {})), np.transpose(x, perm), f"{shape} {perm}")
        c.exact(ops.run("transpose", x), x.T)
c.done("transpose, any format")
c = Close(tap)
for dtype in formats:
    for shape, to in (((3, 1), (3, 4)), ((4,), (2, 3, 4)), ((), (2, 2)), ((1,), (0,)), ((2, 1, 3), (2, 5, 3)), ((1, 1), (300, 200))):
        x = np.asarray(ints(0, 100, *shape).astype(dtype))
        c.exact(ops.run("broadcast", x, shape=to), np.ascontiguousarray(np.broadcast_to(x, to)))
c.done("broadcast repeats, any format")
c = Close(tap)
for dtype in formats:
    for shapes, axis in (([(2, 3), (2, 4)], 1), ([(2, 3), (5, 3), (0, 3)], 0), ([(2, 3, 4)], -2), ([(2, 1, 2), (2, 3, 2)], -2),
                         ([(1,)] * 16, 0)):
        xs = [ints(0, 100, *s).astype(dtype) for s in shapes]
        c.exact(ops.run("concat", *xs, axis=axis), np.concatenate(xs, axis))
c.done("concat joins 1 to 16 tensors, any format")
c = Close(tap)
for dtype in formats:
    x = ints(0, 100, 4, 5, 6).astype(dtype)
    for axis, start, stop in ((0, 1, 3), (1, 0, 0), (2, -2, 0), (-1, 2, -1), (1, 5, 5), (0, 0, 4)):
        at = [slice(None)] * 3
        at[axis] = slice(start, stop or None)
        c.exact(ops.run("slice", x, axis=axis, start=start, stop=stop), np.ascontiguousarray(x[tuple(at)]), f"{axis} {start}:{stop}")
c.done("slice cuts one axis, any format")
c = Close(tap)
for dtype, ids in itertools.product(formats, (np.int32, np.int64)):
    for shape, axis, many in (((9, 4), 0, (3,)), ((9, 4), 1, (2, 2)), ((3, 7, 5), 1, ()), ((9,), 0, (1, 5)), ((2, 3), 0, (0,)),
                              ((50, 3000), 0, (40,))):
        x, k = ints(0, 100, *shape).astype(dtype), np.asarray(ints(0, shape[axis], *many), ids)
        c.exact(ops.run("gather", x, k, axis=axis), np.take(x, k, axis))
for ids in (np.int32, np.int64):
    table, k = normal(11, 6), ints(0, 11, 4, 3, dtype=ids)
    c.exact(ops.run("embedding", table, k), table[k])
    c.exact(ops.run("embedding", Weight(table), k, num_embeddings=11, embedding_dim=6), table[k])
c.done("gather and embedding take what ids name")
c = Close(tap)
for shape, many, n in (((6, 5), (6,), 4), ((2, 3, 70), (2, 3), 3), ((4,), (4,), 2), ((0, 3), (0,), 2), ((3, 0), (3,), 2), ((5,), (), 3)):
    x, k = normal(*shape), np.asarray(ints(0, n, *many))
    want, size = (np.zeros((n,) + shape[len(many):]) for _ in range(2))
    np.add.at(want, k, x.astype(f8))
    np.add.at(size, k, np.abs(x).astype(f8))
    c.see(ops.run("scatter_add", x, k, rows=n), want, U * x.size * size)
c.done("scatter_add adds rows where ids say", "one rounding per row")
c = Close(tap)
for many in ((4,), (2, 3), (), (0,)):
    k = np.asarray(ints(0, 5, *many))
    c.exact(ops.run("one_hot", k, classes=5), np.eye(5, dtype=f4)[k])
c.done("one_hot")
c = Close(tap)
for name, dtype in (("f32", f4), ("f64", f8), ("i8", np.int8), ("i64", np.int64), ("bool", np.bool_), ("u16", np.uint16)):
    for shape in ((3, 4), (), (0, 2), (20000,)):
        c.exact(ops.run("fill", shape=shape, value=1.5, dtype=name), np.full(shape, dtype(1.5)))
c.done("fill makes a constant of any of C's formats")
c = Close(tap)
for dtype in formats:
    s, x = ints(0, 100, 3, 4).astype(dtype), ints(0, 100, 3, 4).astype(dtype)
    c.exact(ops.run("assign", s, x), x)
c.done("assign writes the state in place")

# ---- sequences ----


def to_bf16(x):
    u = x.astype(f4).view(np.uint32).astype(np.uint64)
    return ((u + 0x7fff + (u >> 16 & 1)) & 0xffff0000).astype(np.uint32).view(f4).astype(f8)


def attend(q, k, v, heads, kv, mask, causal, scale, rounded=lambda x: x):
    tq, tk = q.shape[-2], k.shape[-2]

    def split(x, n):
        return np.swapaxes(x.reshape(*x.shape[:-1], n, x.shape[-1] // n), -2, -3).astype(f8)
    q, k, v = split(q, heads), np.repeat(split(k, kv), heads // kv, -3), np.repeat(split(v, kv), heads // kv, -3)
    v = rounded(v)
    s = rounded(q * f4(scale or 1 / math.sqrt(max(1, q.shape[-1])))) @ rounded(np.swapaxes(k, -1, -2))
    s = np.nan_to_num(s)
    if causal:
        s = np.where(np.arange(tk) <= np.arange(tq)[:, None] + tk - tq, s, -np.inf)
    if mask is not None:
        s = np.where(mask, s, -np.inf) if mask.dtype == np.bool_ else s + mask
    most = s.max(-1, keepdims=True) if tk else 0
    e = np.where(s == -np.inf, 0, np.exp(s - np.where(np.isfinite(most), most, 0)))
    total = e.sum(-1, keepdims=True)
    p = np.where(total > 0, rounded(e) / np.where(total > 0, total, 1), 0)

    def join(x):
        x = np.swapaxes(x, -2, -3)
        return x.reshape(*x.shape[:-2], x.shape[-2] * x.shape[-1])
    zero = np.where(np.isnan(v), 0, v)
    return join(p @ zero), join(p @ np.abs(zero))


c = Close(tap)
for lead, tq, tk, heads, kv, d, dv in (((2,), 5, 5, 2, 2, 8, 8), ((1,), 17, 40, 4, 1, 16, 16), ((), 3, 7, 6, 3, 4, 20), ((2, 3), 2, 2, 1, 1, 3, 5),
                                       ((1,), 1, 600, 3, 3, 64, 64), ((1,), 4, 1, 2, 1, 1, 1), ((0,), 2, 2, 1, 1, 4, 4), ((2,), 20, 20, 15, 5, 8, 8)):
    q, k, v = normal(*lead, tq, heads * d), normal(*lead, tk, kv * d), normal(*lead, tk, kv * dv)
    masks = [None, ints(0, 2, tq, tk).astype(bool), ints(0, 2, *lead, 1, 1, tk).astype(bool), normal(heads, tq, tk),
             np.where(ints(0, 2, *lead, heads, tq, tk), f4(0), f4(-np.inf)).astype(f4), np.array(True), normal(tq, 1)]
    for mask, causal, scale in itertools.product(masks, (False, True), (0.0, 0.3)):
        want, size = attend(q, k, v, heads, kv, mask, causal, scale)
        y = ops.run("attention", q, k, v, mask, heads=heads, kv_heads=kv if kv != heads else 0, causal=causal, scale=scale)
        # scores err by the dot product's roundings times their size, and exp turns that into a factor
        s = np.abs(q).max(initial=0) * np.abs(k).max(initial=0) * d * (scale or 1 / math.sqrt(d))
        c.see(y, want, U * (2 * roundings(d) * s + 2 * roundings(tk) + 10) * size, f"{lead} {tq} {tk} {heads}/{kv} causal {causal}")
c.done("attention: grouped heads, masks of every shape, causal", "the scores' and the sums' roundings")
c = Close(tap)
for tq, tk, heads, kv, d, dv, causal in ((5, 5, 2, 2, 8, 8, True), (17, 40, 4, 1, 16, 16, False), (3, 7, 6, 3, 5, 20, False), (2, 600, 1, 1, 64, 64, False)):
    q, k, v = normal(2, tq, heads * d), normal(2, tk, kv * d), normal(2, tk, kv * dv)
    mask = ints(0, 2, tq, tk).astype(bool)
    want, size = attend(q, k, v, heads, kv, mask, causal, 0.0, to_bf16)
    y = ops.run("attention", q, k, v, mask, heads=heads, kv_heads=kv, causal=causal, products="bf16")
    c.see(np.sqrt(np.square(y - want).mean()), 0, 1e-4, f"{tq} {tk}")
    plain = attend(q, k, v, heads, kv, mask, causal, 0.0)[0]
    c.see(np.sqrt(np.square(y - plain).mean()) > 3e-4, True, 0, f"{tq} {tk}: rounded at all")
c.done("attention with products of bf16: NumPy's, from rounded operands", "few weights lie so near the middle of two that f32 takes the other")
q, k, v = normal(1, 4, 8), normal(1, 700, 8), normal(1, 700, 8)
mask = np.arange(700) < 300
short = ops.run("attention", q, k[:, :300], v[:, :300], None, heads=2)
k[:, 300:], v[:, 300:] = np.nan, np.inf
tap.ok(ops.run("attention", q, k, v, mask, heads=2).tobytes() == short.tobytes(),
       "attention: keys masked out change no bit, whatever they hold")
tap.ok(not ops.run("attention", q, k, v, np.zeros(700, bool), heads=2).any(), "attention: a row that sees nothing is 0")

c = Close(tap)
for lead, i, hid in (((3,), 5, 4), ((), 8, 8), ((2, 2), 1, 70), ((1,), 600, 130), ((0,), 3, 3)):
    x, h = normal(*lead, i), normal(*lead, hid)
    w, u, b, bb = normal(3 * hid, i, scale=.3), normal(3 * hid, hid, scale=.3), normal(3 * hid), normal(3 * hid)
    for bias, typed in itertools.product((0, 1, 2), (True, False)):
        wrap = (lambda t: t) if typed else Weight
        ins = [x, h, wrap(w), wrap(u)] + [[], [None, wrap(bb)], [wrap(b), wrap(bb)]][bias]
        gi = x.astype(f8) @ w.astype(f8).T + (b if bias == 2 else 0)
        gh = h.astype(f8) @ u.astype(f8).T + (bb if bias else 0)
        (ir, iz, inn), (hr, hz, hn) = np.split(gi, 3, -1), np.split(gh, 3, -1)
        r, z = sigmoid(ir + hr), sigmoid(iz + hz)
        want = (1 - z) * np.tanh(inn + r * hn) + z * h
        size = np.abs(x).astype(f8) @ np.abs(w).astype(f8).T + np.abs(h).astype(f8) @ np.abs(u).astype(f8).T + 2
        bound = U * (roundings(i) + roundings(hid) + 10) * sum(np.split(size, 3, -1)) * (1 + np.abs(h))
        c.see(ops.run("gru_cell", *ins), want, bound, f"{lead} {i} {hid}")
c.done("gru_cell as PyTorch defines it", "the gates' dot products")

# ---- losses ----


def reduced(e, how):
    return {"none": lambda: e, "sum": e.sum, "mean": e.mean}[how]()


for name, ref, more in (("mse_loss", lambda d: d * d, {}), ("mae_loss", np.abs, {}),
                        ("huber_loss", lambda d: np.where(np.abs(d) <= .7, d * d / 2, .7 * (np.abs(d) - .35)), {"delta": 0.7})):
    c = Close(tap)
    for shape, how in itertools.product(((4, 5), (), (1000,), (7, 3000), (0, 3), (3, 17, 1)), ("mean", "sum", "none")):
        p, t = np.asarray(normal(*shape)), np.asarray(normal(*shape))
        e = np.asarray(ref(p.astype(f8) - t.astype(f8)))
        d = np.abs(p).astype(f8) + np.abs(t)
        bound = reduced(6 * (d + 1) * (np.sqrt(e) + e + 1) + roundings(e.size) * e, how) * U
        c.see(ops.run(name, p, t, reduction=how, **more), np.asarray(reduced(e, how)), bound, f"{shape} {how}")
    c.done(f"{name}: mean, sum, none", "p - t rounds once, then the sum")
c = Close(tap)
for shape, how, ids in itertools.product(((4, 5), (7,), (600, 3), (2, 3, 700), (0, 4)), ("mean", "sum", "none"), (np.int32, np.int64)):
    x, t = normal(*shape, scale=3), np.asarray(ints(0, shape[-1], *shape[:-1], dtype=ids))
    if t.size > 2:
        t.reshape(-1)[::3] = -7
    e = x.astype(f8) - x.max(-1, keepdims=True, initial=-np.inf)
    e = np.log(np.exp(e).sum(-1)) - np.take_along_axis(e, np.maximum(t, 0)[..., None].astype(np.int64), -1)[..., 0]
    e = np.where(t == -7, 0, e)
    n = (t != -7).sum()
    want = e.sum() / max(1, n) if how == "mean" else reduced(e, how)
    bound = U * (roundings(shape[-1]) + roundings(t.size) + 40) * (want + 1) * (1 if how != "sum" else max(1, t.size))
    c.see(ops.run("cross_entropy", x, t, reduction=how, ignore_index=-7), np.asarray(want), bound, f"{shape} {how}")
c.done("cross_entropy: mean, sum, none, ignored targets", "the sums, and x - max rounds once")

# ---- images ----


def windows(x, k, stride, pad, dil, fill):
    x = np.pad(x, ((0, 0), (0, 0), (pad[0], pad[2]), (pad[1], pad[3])), constant_values=fill)
    ho, wo = ((x.shape[2 + i] - dil[i] * (k[i] - 1) - 1) // stride[i] + 1 for i in (0, 1))
    out = np.empty(x.shape[:2] + (ho, wo) + tuple(k), x.dtype)
    for i, j in itertools.product(range(k[0]), range(k[1])):
        out[..., i, j] = x[:, :, i * dil[0]:i * dil[0] + ho * stride[0]:stride[0], j * dil[1]:j * dil[1] + wo * stride[1]:stride[1]]
    return out


c = Close(tap)
for (n, ci, h, w), co, g, k, s, p, dil in (((2, 3, 8, 9), 5, 1, (3, 3), (1, 1), (0,), (1, 1)), ((1, 4, 7, 7), 8, 2, (3, 2), (2, 1), (1,), (1, 2)),
                                           ((1, 6, 9, 5), 6, 6, (3, 3), (2, 2), (1, 0), (1, 1)), ((2, 1, 6, 6), 3, 1, (1, 1), (1, 1), (0,), (1, 1)),
                                           ((1, 2, 8, 8), 9, 1, (4, 4), (4, 4), (0, 1, 2, 3), (1, 1)), ((0, 2, 5, 5), 2, 1, (3, 3), (1, 1), (1,), (1, 1)),
                                           ((1, 96, 6, 6), 4, 1, (3, 3), (1, 1), (1,), (1, 1))):
    for bias, typed in itertools.product((0, 1), (0, 1)):
        x, wt, b = normal(n, ci, h, w), normal(co, ci // g, *k), normal(co)
        pad = {1: p * 4, 2: p * 2, 4: p}[len(p)]
        def conv(x, wt):
            v = windows(x, k, s, pad, dil, 0).reshape(n, g, ci // g, -1, *k) if n else np.zeros((0, g, ci // g, 1, *k))
            y = np.einsum("ngcpij,gocij->ngop", v, wt.reshape(g, co // g, ci // g, *k))
            return y
        shape = windows(x, k, s, pad, dil, 0).shape[2:4]
        want = conv(x.astype(f8), wt.astype(f8)).reshape(n, co, *shape) if n else np.zeros((0, co) + shape)
        size = conv(np.abs(x).astype(f8), np.abs(wt).astype(f8)).reshape(n, co, *shape) if n else want
        wrap = Weight if not typed else (lambda t: t)
        ins = [x, wrap(wt)] + [wrap(b)] * bias
        more = {} if typed else {"out": co, "kernel_size": k}
        y = ops.run("conv2d", *ins, groups=g, stride=s, padding=p, dilation=dil, **more)
        c.see(y, want + (b[:, None, None] if bias else 0), U * (roundings(ci // g * k[0] * k[1]) + 1) * (size + np.abs(b).max()), f"{(n, ci, h, w)}")
c.done("conv2d: groups, stride, four-sided padding, dilation", "the patch's dot product")
for name in ("max_pool2d", "avg_pool2d"):
    c = Close(tap)
    for shape, k, s, p in (((2, 3, 8, 9), (2, 2), None, (0,)), ((1, 2, 7, 7), (3, 3), (2, 2), (1,)), ((1, 1, 6, 5), (3, 2), (1, 2), (1, 0)),
                           ((1, 2, 6, 6), (4, 4), (2, 2), (2, 1, 0, 1)), ((1, 2, 5, 5), (5, 5), (1, 1), (0,))):
        for include in (True, False) if name[0] == "a" else (None,):
            x = normal(*shape)
            pad = {1: p * 4, 2: p * 2, 4: p}[len(p)]
            v = windows(x.astype(f8), k, s or k, pad, (1, 1), np.nan)
            if include is None:
                want, bound = np.nanmax(v, (-1, -2)), 0
            else:
                want = np.nansum(v, (-1, -2)) / (k[0] * k[1]) if include else np.nanmean(v, (-1, -2))
                bound = U * roundings(k[0] * k[1]) * np.abs(v[~np.isnan(v)]).max()
            more = {} if include is None else {"count_include_pad": include}
            if s:
                more["stride"] = s
            c.see(ops.run(name, x, kernel_size=k, padding=p, **more), want, bound, f"{shape}")
    c.done(f"{name}: strides and padding")

# ---- eight-bit codes ----


def codes(x, s):
    """as ops.h says, in f32: numpy's f32 division rounds as C's, and rint to nearest even"""
    v = x / s
    return np.where(np.isnan(v), 0, np.clip(np.rint(v), -127, 127)).astype(np.int8)


c = Close(tap)
rows = np.concatenate([normal(40, 33), normal(5, 33, scale=1e30), normal(5, 33, scale=1e-44), np.zeros((2, 33), f4)])
rows[3, 5], rows[4, 0], rows[6, 32] = np.nan, np.inf, -np.inf
ties = np.arange(-260, 261).astype(f4) / 2  # with scale 1: halves go to the even neighbour
for x in (rows, normal(9, 1), normal(7), normal(2, 3, 5), normal(0, 4), normal(3, 0), normal(2, 20000), -np.abs(normal(3, 16))):
    most = np.abs(x).max(-1, keepdims=True, initial=0)
    s = (np.where(np.isfinite(most), most, np.nan).astype(f4) / f4(127))
    s = np.where(s == 0, f4(1), s).astype(f4)
    q, got = ops.run("quantize", x)
    c.exact(got, s, f"scale of {x.shape}")
    c.exact(q, codes(x, s), f"codes of {x.shape}")
    for scale in (f4(0.02), f4(1), f4(1e-3)):
        q, got = ops.run("quantize", x, np.asarray(scale))
        c.exact(got, np.asarray(scale), f"given scale, {x.shape}")
        c.exact(q, codes(x, scale), f"codes of {x.shape} with a given scale")
q, s = ops.run("quantize", ties, np.asarray(f4(1)))
c.exact(q, codes(ties, f4(1)), "ties")
c.done("quantize: per row and with a given scale, ties, NaN, Inf, zeros, subnormals")
for shape in ((5, 40), (64,), (3, 2, 9)):
    x = normal(*shape)
    q, s = ops.run("quantize", x)
    c = Close(tap)
    c.see(ops.run("dequantize", q, s), x, s.astype(f8) / 2 * (1 + 128 * U), f"{shape}")
    c.done(f"what quantize makes of {list(shape)}, dequantize brings back within half a step", "half a scale")

c = Close(tap)
for shape, scale in (((4, 6), (4, 1)), ((4, 6), ()), ((4, 6), (6,)), ((2, 3, 5), (2, 3, 1)), ((2, 3, 5), (3, 1)), ((0, 3), (1,)),
                     ((20000,), ()), ((), ()), ((3, 9000), (3, 1))):
    q, s = np.asarray(ints(-128, 128, *shape, dtype=np.int8)), np.asarray(normal(*scale))
    c.exact(ops.run("dequantize", q, s), np.asarray(q.astype(f4) * s), f"{shape} {scale}")
c.done("dequantize multiplies by a scale that broadcasts")

c = Close(tap)
for shape, out in (((1, 9), 7), ((5, 16), 64), ((17, 33), 65), ((3, 4, 8), 3), ((8,), 5), ((2, 1), 1), ((0, 4), 3), ((2, 0), 4),
                   ((1, 5000), 6), ((33, 512), 130), ((1, 131071), 2)):
    q, w, b = ints(-127, 128, *shape, dtype=np.int8), ints(-127, 128, out, shape[-1], dtype=np.int8), normal(out)
    if shape[-1] == 131071:
        q[:], w[:] = 127, 127  # the largest sum there is
    total = q.astype(np.int64) @ w.astype(np.int64).T
    ws = np.abs(normal(out, 1))
    for qs, bias in itertools.product((np.abs(normal(*shape[:-1], 1)), np.asarray(f4(0.037))), (None, b, Weight(b))):
        want = total.astype(np.int32).astype(f4) * (qs * ws[:, 0])
        want = want + b if bias is not None else want
        y = ops.run("quantized_linear", q, qs, w, ws, *([] if bias is None else [bias]))
        c.exact(y, want.astype(f4), f"{shape} {out}")
c.done("quantized_linear: exact sums, scaled and added to in f32 in the order of ops.h")
c = Close(tap)
for shape, out in (((9, 40), 70), ((13,), 6)):
    q, w, b = ints(-127, 128, *shape, dtype=np.int8), ints(-127, 128, out, shape[-1], dtype=np.int8), normal(out)
    qs, ws, full = np.abs(normal(*shape[:-1], 1)), np.abs(normal(out, 1)), normal(*shape[:-1], out)
    for chain, bias in itertools.product(([("relu",)], [("gelu", -1, 0, {"approximate": "tanh"})], [("mul", 5, 1), ("silu",), ("add", 5, 0)]), (b, None)):
        y = ops.run("quantized_linear", q, qs, w, ws, bias)
        for t in chain:
            operand = [full] if len(t) > 1 and t[1] >= 0 else []
            pair = [y] + operand
            y = ops.run(t[0], *(pair[::-1] if len(t) > 2 and t[2] else pair), **(t[3] if len(t) > 3 else {}))
        c.exact(ops.run("quantized_linear", q, qs, w, ws, bias, full, tails=chain), y, f"{shape} {chain}")
c.done("tails of quantized_linear have the bits of the operators alone")

# ---- derivatives: the formulas themselves are tested in grad_numpy.t ----

c = Close(tap)
sig = lambda x: 1 / (1 + np.exp(-x))
tanh_inner = lambda x: math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)
phi = lambda x: np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
Phi = lambda x: (1 + np.vectorize(math.erf, otypes=[f8])(x / math.sqrt(2))) / 2
slopes = {
    "relu_grad": (lambda y: (y > 0) * 1.0, {}), "sigmoid_grad": (lambda y: y * (1 - y), {}), "tanh_grad": (lambda y: 1 - y * y, {}),
    "silu_grad": (lambda x: sig(x) * (1 + x * (1 - sig(x))), {}), "gelu_grad": (lambda x: Phi(x) + x * phi(x), {}),
    "clamp_grad": (lambda x: (x >= -0.5) & (x <= 0.75), {"min": -0.5, "max": 0.75})}
for shape in [(), (5,), (3, 70), (40000,), (0, 3)]:
    for op, (slope, params) in slopes.items():
        dy, x = normal(*shape), normal(*shape)
        c.see(ops.run(op, dy, x, **params), dy.astype(f8) * slope(x.astype(f8)), 4 * U * np.abs(dy) * (1 + x * x), f"{op} {shape}")
    dy, x = normal(*shape), normal(*shape).astype(f8)
    t = np.tanh(tanh_inner(x))
    want = (1 + t) / 2 + x / 2 * (1 - t * t) * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
    c.see(ops.run("gelu_grad", dy, x.astype(f4), approximate="tanh"), dy * want, 4 * U * np.abs(dy) * (1 + x * x), f"gelu_grad tanh {shape}")
c.done("slopes of activations", "4 roundings of dy (1 + x^2)")

c = Close(tap)
for shape in [(7,), (3, 5), (2, 3, 40), (1200, 17), (2, 1100), (0, 4)]:
    d = shape[-1]
    dy, y = normal(*shape), sig(normal(*shape)).astype(f4)
    D, Y = dy.astype(f8), y.astype(f8)
    sums = np.abs(D * Y).sum(-1, keepdims=True)
    c.see(ops.run("softmax_grad", dy, y), Y * (D - (D * Y).sum(-1, keepdims=True)), U * (4 * np.abs(Y * D) + (roundings(d) + 4) * Y * sums), f"softmax_grad {shape}")
    sums = np.abs(D).sum(-1, keepdims=True)
    c.see(ops.run("log_softmax_grad", dy, y), D - np.exp(Y) * D.sum(-1, keepdims=True), U * (np.abs(D) + (roundings(d) + 6) * np.exp(Y) * sums), f"log_softmax_grad {shape}")
    for weighted, is_layer in itertools.product((0, 1), (0, 1)):
        x, w = normal(*shape), normal(d)
        X = x.astype(f8) - (x.astype(f8).mean(-1, keepdims=True) if is_layer else 0)
        scale = 1 / np.sqrt((X * X).mean(-1, keepdims=True) + 1e-3)
        u, g = X * scale, D * (w.astype(f8) if weighted else 1)
        want = scale * (g - (g.mean(-1, keepdims=True) if is_layer else 0) - u * (g * u).mean(-1, keepdims=True))
        op = "layer_norm_grad" if is_layer else "rms_norm_grad"
        got = ops.run(op, dy, x, *([w] * weighted), eps=1e-3)
        size = scale * (np.abs(g) + np.abs(g).mean(-1, keepdims=True) + np.abs(u) * np.abs(g * u).mean(-1, keepdims=True))
        c.see(got[0], want, 2 * U * (roundings(d) + 8) * size, f"{op} dx {shape}")
        rows = tuple(range(len(shape) - 1))
        n = max(int(np.prod(shape[:-1])), 1)
        deep = min(n, max(1, 16384 // d)) + -(-n // max(1, 16384 // d)) + 2 * roundings(d) + 8
        seen = np.abs(u) + (scale * np.abs(x).mean(-1, keepdims=True) if is_layer else 0)  # the mean's own rounding
        c.see(got[1], (D * u).sum(rows), U * deep * (np.abs(D) * seen).sum(rows), f"{op} dw {shape}")
        if is_layer:
            c.see(got[2], D.sum(rows), U * deep * np.abs(D).sum(rows), f"{op} db {shape}")
c.done("derivatives along the last axis", "roundings of their sums")

c = Close(tap)
for shape, axis, before, after in [((3,), 0, 1, 2), ((2, 3), 0, 0, 1), ((2, 3, 2), 1, 2, 0), ((2, 3), -1, 0, 0), ((0, 3), 0, 1, 1), ((2, 0), 1, 0, 0)]:
    for dtype in (f4, np.int8, np.int64, np.float16):
        x = ints(-9, 9, *shape).astype(dtype)
        c.exact(ops.run("pad", x, axis=axis, before=before, after=after),
                np.pad(x, [(before, after) if i == axis % x.ndim else (0, 0) for i in range(x.ndim)]), f"{shape}")
c.done("pad puts zeros around an axis")

# ---- optimisers ----

c = Close(tap)
for shapes in [[(5,)], [(3, 4), (), (70,)], [(40000,), (2, 3), (0, 3), (16384,)], [(k,) for k in range(16)]]:
    xs = [normal(*s) for s in shapes]
    want = sum((x.astype(f8) ** 2).sum() for x in xs)
    c.see(ops.run("sum_squares", *xs), want, U * (roundings(16384) + 16) * want, f"{shapes}")
c.done("sum_squares adds squares of several tensors", "roundings of its tiles and their sum")
c = Close(tap)
for shape in [(), (5,), (3, 70), (40000,), (0, 2)]:
    s, x = normal(*shape), normal(*shape)
    c.exact(ops.run("accumulate", s, x), np.asarray(s + x))
    for dtype in (f4, np.int8, np.int64):
        c.exact(ops.run("clear", ints(1, 9, *shape).astype(dtype)), np.zeros(shape, dtype))
c.done("accumulate adds to a state and clear empties it, in place")
c = Close(tap)
for shape, t, scaled in itertools.product([(), (63,), (3, 70), (40000,), (0,)], (1, 2, 1000, 10 ** 6), (0, 1)):
    w, m, v, g = normal(*shape), normal(*shape), np.abs(normal(*shape)), normal(*shape)
    for dtype in (np.int32, np.int64):
        got = ops.run("adamw", w, m, v, g, np.array(0.01, f4), np.array(t, dtype), *([np.array(0.5, f4)] * scaled), beta1=0.8, beta2=0.95, eps=1e-3, weight_decay=0.1)
    W, M, V, G = (a.astype(f8) for a in (w, m, v, g))
    G, lr = G * (0.5 if scaled else 1), float(f4(0.01))
    M, V = 0.8 * M + 0.2 * G, 0.95 * V + 0.05 * G * G
    step = lr / (1 - 0.8 ** t) * M / (np.sqrt(V) / math.sqrt(1 - 0.95 ** t) + 1e-3)
    c.see(got[1], M, 4 * U * (0.8 * np.abs(m) + np.abs(G)), f"m {shape}")
    c.see(got[2], V, 4 * U * (v + G * G), f"v {shape}")
    size = 0.8 * np.abs(m) + 0.2 * np.abs(G)
    c.see(got[0], (1 - lr * 0.1) * W - step, U * (3 * np.abs(W) + 16 * lr / (1 - 0.8 ** t) * size / (np.sqrt(V) / math.sqrt(1 - 0.95 ** t) + 1e-3)), f"w {shape}")
c.done("adamw writes the weight and both moments", "16 roundings of the step")

# ---- refusals: a code, the node's name and what was found ----

E_ARG, E_SHAPE, E_DTYPE, E_RANGE, E_MISSING = -1, -2, -3, -5, -9


def refuse(code, words, op, *ins, **more):
    try:
        ops.run(op, *ins, label="robot/x.3", **more)
    except Refused as r:
        missing = [w for w in ["robot/x.3"] + words if w not in r.why]
        tap.ok(r.code == code and not missing, f"{op} refuses: {r.why}"
               + (f" (code {r.code}, missing {missing})" if r.code != code or missing else ""))
    else:
        tap.ok(False, f"{op} takes what it should refuse: {words}")


z = np.zeros
refuse(E_SHAPE, ["f32[2,3]", "f32[4,5]"], "linear", z((2, 3), f4), z((4, 5), f4))
refuse(E_SHAPE, ["f32[4,3]", "f32[8,3]"], "linear", z((2, 3), f4), z((4, 3), f4), out=8)
refuse(E_SHAPE, ["f32[4]", "f32[3]"], "linear", z((2, 3), f4), z((4, 3), f4), z(3, f4))
refuse(E_SHAPE, ["f32"], "linear", z((), f4), z((4, 3), f4))
refuse(E_DTYPE, ["i32[2,3]"], "linear", z((2, 3), np.int32), z((4, 3), f4))
refuse(E_DTYPE, ["i64[4,3]"], "linear", z((2, 3), f4), z((4, 3), np.int64))
refuse(E_ARG, ["out is missing"], "linear", z((2, 3), f4), Weight(z((4, 3), f4)))
refuse(E_ARG, ["input w"], "linear", z((2, 3), f4), out=3)
refuse(E_ARG, ["input x"], "linear", None, z((4, 3), f4))
refuse(E_ARG, ["no type"], "relu", Weight(z(3, f4)))
refuse(E_SHAPE, ["f32[2,3]", "f32[4,5]"], "matmul", z((2, 3), f4), z((4, 5), f4))
refuse(E_SHAPE, ["f32[2,3,4]", "f32[3,4,5]"], "matmul", z((2, 3, 4), f4), z((3, 4, 5), f4))
refuse(E_SHAPE, ["f32[3]"], "matmul", z(3, f4), z((3, 4), f4))
refuse(E_SHAPE, ["f32[3]", "rank 2"], "solve", z(3, f4), z((3, 4), f4))
refuse(E_SHAPE, ["f32[3,4]", "[...,N,N]"], "solve", z((3, 4), f4), z((3, 4), f4))
refuse(E_SHAPE, ["f32[2,3,3]", "f32[3,1]"], "solve", z((2, 3, 3), f4), z((3, 1), f4))
refuse(E_DTYPE, ["f32[3,3]", "f64[3,1]"], "solve", z((3, 3), f4), z((3, 1), f8))
refuse(E_DTYPE, ["f32[2,3]", "f64[3,4]"], "matmul", z((2, 3), f4), z((3, 4), f8))
refuse(E_SHAPE, ["f32[2,3]", "f32[4]"], "add", z((2, 3), f4), z(4, f4))
refuse(E_DTYPE, ["f32[2]", "i32[2]"], "mul", z(2, f4), z(2, np.int32))
refuse(E_DTYPE, ["i32[2]"], "div", z(2, np.int32), z(2, np.int32))
refuse(E_DTYPE, ["bool[2]"], "less", z(2, bool), z(2, bool))
refuse(E_DTYPE, ["i32[2]"], "exp", z(2, np.int32))
refuse(E_ARG, ["min 2", "max 1"], "clamp", z(2, f4), min=2.0, max=1.0)
refuse(E_DTYPE, ["i32[2]"], "where", z(2, np.int32), z(2, f4), z(2, f4))
refuse(E_SHAPE, ["bool[2]", "f32[3]"], "where", z(2, bool), z(3, f4), z(3, f4))
refuse(E_DTYPE, ["f32[3]", "f64[3]"], "where", z(3, bool), z(3, f4), z(3, f8))
refuse(E_DTYPE, ["\"q9\""], "cast", z(3, f4), to="q9")
for op in ("softmax", "log_softmax", "rms_norm", "layer_norm"):
    refuse(E_SHAPE, ["want [...,D]"], op, z((), f4))
refuse(E_SHAPE, ["f32[3]", "f32[4]"], "rms_norm", z((2, 4), f4), z(3, f4))
refuse(E_SHAPE, ["f32[2,2]", "f32[4]"], "layer_norm", z((2, 4), f4), z(4, f4), z((2, 2), f4))
refuse(E_ARG, ["eps is -1"], "layer_norm", z((2, 4), f4), eps=-1.0)
refuse(E_ARG, ["axis 2"], "reduce_sum", z((2, 4), f4), axes=[2])
refuse(E_ARG, ["twice"], "reduce_sum", z((2, 4), f4), axes=[1, -1])
refuse(E_SHAPE, ["f32[2,0]"], "reduce_max", z((2, 0), f4), axes=[1])
refuse(E_SHAPE, ["f32[2,3]", "f32[4,2]"], "reshape", z((2, 3), f4), shape=[4, 2])
refuse(E_SHAPE, ["f32[2,3]", "f32[4,-1]"], "reshape", z((2, 3), f4), shape=[4, -1])
refuse(E_SHAPE, ["f32[2,3]"], "reshape", z((2, 3), f4), shape=[0, -1])
refuse(E_SHAPE, ["f32[2,3]"], "reshape", z((2, 3), f4), shape=[2 ** 62, 4, -1])
refuse(E_ARG, ["at most one -1"], "reshape", z((2, 3), f4), shape=[-1, -1])
refuse(E_ARG, ["f32[2,3]"], "transpose", z((2, 3), f4), perm=[0, 0])
refuse(E_ARG, ["f32[2,3]"], "transpose", z((2, 3), f4), perm=[0])
refuse(E_SHAPE, ["f32[2,3]", "f32[2,4]"], "broadcast", z((2, 3), f4), shape=[2, 4])
refuse(E_SHAPE, ["f32[2,3]", "f32[3]"], "broadcast", z((2, 3), f4), shape=[3])
refuse(E_SHAPE, ["f32[2,3]", "f32[3,4]"], "concat", z((2, 3), f4), z((3, 4), f4), axis=0)
refuse(E_DTYPE, ["f32[2,3]", "f64[2,3]"], "concat", z((2, 3), f4), z((2, 3), f8))
refuse(E_ARG, ["axis 3"], "concat", z((2, 3), f4), axis=3)
refuse(E_SHAPE, ["[1:9]", "f32[2,3]"], "slice", z((2, 3), f4), axis=1, start=1, stop=9)
refuse(E_SHAPE, ["[2:1]", "f32[2,3]"], "slice", z((2, 3), f4), axis=1, start=2, stop=1)
refuse(E_DTYPE, ["f32[3]"], "gather", z((2, 3), f4), z(3, f4))
refuse(E_RANGE, ["id 2 at place 1", "0 to 1"], "gather", z((2, 3), f4), np.array([0, 2]))
refuse(E_RANGE, ["id -1 at place 0", "0 to 1"], "gather", z((2, 3), f4), np.array([-1, 2]))
refuse(E_RANGE, ["id 7 at place 0"], "embedding", z((2, 3), f4), np.array([7], np.int32))
refuse(E_SHAPE, ["f32[2,3]", "f32[4,3]"], "embedding", z((2, 3), f4), np.array([1]), num_embeddings=4)
refuse(E_ARG, ["num_embeddings"], "embedding", Weight(z((2, 3), f4)), np.array([1]), embedding_dim=3)
refuse(E_SHAPE, ["f32[2,3]", "i64[3]"], "scatter_add", z((2, 3), f4), z(3, np.int64), rows=4)
refuse(E_RANGE, ["id 4 at place 1"], "scatter_add", z((2, 3), f4), np.array([0, 4]), rows=4)
refuse(E_RANGE, ["id 5 at place 0"], "one_hot", np.array([5]), classes=5)
refuse(E_DTYPE, ["\"f16\""], "fill", shape=[2], dtype="f16")
refuse(E_SHAPE, ["f32[2]", "f32[3]"], "assign", z(2, f4), z(3, f4))
refuse(E_DTYPE, ["f32[2]", "i32[2]"], "assign", z(2, f4), z(2, np.int32))
refuse(E_ARG, ["heads is 3, kv_heads 2"], "attention", z((2, 6), f4), z((2, 6), f4), z((2, 6), f4), heads=3, kv_heads=2)
refuse(E_SHAPE, ["f32[2,6]", "4 heads"], "attention", z((2, 6), f4), z((2, 6), f4), z((2, 6), f4), heads=4)
refuse(E_SHAPE, ["f32[1,2,6]", "f32[2,2,6]"], "attention", z((1, 2, 6), f4), z((2, 2, 6), f4), z((2, 2, 6), f4), heads=2)
refuse(E_SHAPE, ["f32[2,6]", "f32[3,6]", "f32[4,6]"], "attention", z((2, 6), f4), z((3, 6), f4), z((4, 6), f4), heads=2)
refuse(E_SHAPE, ["bool[5]", "bool[2,2,3]"], "attention", z((2, 6), f4), z((3, 6), f4), z((3, 6), f4), z(5, bool), heads=2)
refuse(E_DTYPE, ["i32[3]"], "attention", z((2, 6), f4), z((3, 6), f4), z((3, 6), f4), z(3, np.int32), heads=2)
refuse(E_SHAPE, ["f32[2,3]", "f32[3,4]"], "gru_cell", z((2, 3), f4), z((3, 4), f4), z((12, 3), f4), z((12, 4), f4))
refuse(E_SHAPE, ["f32[4,3]", "f32[12,3]"], "gru_cell", z((2, 3), f4), z((2, 4), f4), z((4, 3), f4), z((12, 4), f4))
for op in ("mse_loss", "mae_loss", "huber_loss"):
    refuse(E_SHAPE, ["f32[2,3]", "f32[3]"], op, z((2, 3), f4), z(3, f4))
    refuse(E_DTYPE, ["f32[3]", "f64[3]"], op, z(3, f4), z(3, f8))
refuse(E_ARG, ["delta is 0"], "huber_loss", z(3, f4), z(3, f4), delta=0.0)
refuse(E_SHAPE, ["f32[2,3]", "i64[3]"], "cross_entropy", z((2, 3), f4), z(3, np.int64))
refuse(E_RANGE, ["target 3 at place 1", "0 to 2"], "cross_entropy", z((2, 3), f4), np.array([0, 3]))
refuse(E_SHAPE, ["f32[2,3]"], "conv2d", z((2, 3), f4), z((4, 3, 1, 1), f4))
refuse(E_SHAPE, ["f32[4,2,3,3]", "f32[4,3,3,3]"], "conv2d", z((1, 3, 5, 5), f4), z((4, 2, 3, 3), f4))
refuse(E_ARG, ["groups 2", "f32[1,3,5,5]"], "conv2d", z((1, 3, 5, 5), f4), z((4, 3, 3, 3), f4), groups=2)
refuse(E_SHAPE, ["7 x 7", "f32[1,3,5,5]"], "conv2d", z((1, 3, 5, 5), f4), z((4, 3, 7, 7), f4))
refuse(E_ARG, ["stride"], "conv2d", z((1, 3, 5, 5), f4), z((4, 3, 3, 3), f4), stride=[0])
refuse(E_ARG, ["padding"], "max_pool2d", z((1, 3, 5, 5), f4), kernel_size=[2], padding=[2])
for op in ("relu_grad", "gelu_grad", "clamp_grad"):
    refuse(E_SHAPE, ["f32[2,3]", "f32[3]"], op, z((2, 3), f4), z(3, f4))
    refuse(E_DTYPE, ["f32[3]", "f64[3]"], op, z(3, f4), z(3, f8))
for op in ("softmax_grad", "layer_norm_grad"):
    refuse(E_SHAPE, ["f32[2,3]", "f32[3]"], op, z((2, 3), f4), z(3, f4))
    refuse(E_SHAPE, ["f32", "[...,D]"], op, z((), f4), z((), f4))
refuse(E_SHAPE, ["f32[4]", "f32[3]"], "rms_norm_grad", z((2, 3), f4), z((2, 3), f4), z(4, f4))
refuse(E_ARG, ["eps is -1"], "layer_norm_grad", z((2, 3), f4), z((2, 3), f4), eps=-1.0)
refuse(E_SHAPE, ["dy is f32[2,3]", "f32[2,4]"], "attention_grad", z((2, 3), f4), z((2, 4), f4), z((2, 4), f4), z((2, 4), f4), heads=1)
refuse(E_SHAPE, ["k f32[2,6]"], "attention_grad", z((2, 4), f4), z((2, 4), f4), z((2, 6), f4), z((2, 4), f4), heads=1)
refuse(E_SHAPE, ["gi is f32[2,3]", "f32[2,9]"], "gru_gates_grad", z((2, 3), f4), z((2, 3), f4), z((2, 9), f4), z((2, 3), f4))
refuse(E_SHAPE, ["dy f32[3]", "rank 0"], "cross_entropy_grad", z(3, f4), z((3, 4), f4), z(3, np.int64))
refuse(E_RANGE, ["target 4 at place 1", "0 to 3"], "cross_entropy_grad", z((), f4), z((2, 4), f4), np.array([0, 4]))
refuse(E_ARG, ["before is -1"], "pad", z(3, f4), before=-1)
refuse(E_ARG, ["axis 2"], "pad", z(3, f4), axis=2)
refuse(E_DTYPE, ["xs 1 is f32[3]", "xs 2 is f64[3]"], "sum_squares", z(3, f4), z(3, f8))
refuse(E_DTYPE, ["i32[3]"], "sum_squares", z(3, np.int32))
refuse(E_SHAPE, ["f32[2]", "f32[3]"], "accumulate", z(2, f4), z(3, f4))
refuse(E_DTYPE, ["f32[2]", "f64[2]"], "accumulate", z(2, f4), z(2, f8))
lr, t1 = np.array(0.1, f4), np.array(1)
refuse(E_SHAPE, ["w is f32[2]", "v is f32[3]"], "adamw", z(2, f4), z(2, f4), z(3, f4), z(2, f4), lr, t1)
refuse(E_SHAPE, ["lr is f32[1]", "rank 0"], "adamw", z(2, f4), z(2, f4), z(2, f4), z(2, f4), z(1, f4), t1)
refuse(E_SHAPE, ["scale is f32[2]", "rank 0"], "adamw", z(2, f4), z(2, f4), z(2, f4), z(2, f4), lr, t1, z(2, f4))
refuse(E_DTYPE, ["t is f32"], "adamw", z(2, f4), z(2, f4), z(2, f4), z(2, f4), lr, lr)
refuse(E_DTYPE, ["w is f32[2]", "g is f64[2]"], "adamw", z(2, f4), z(2, f4), z(2, f4), z(2, f8), lr, t1)
refuse(E_ARG, ["beta1 is 1"], "adamw", z(2, f4), z(2, f4), z(2, f4), z(2, f4), lr, t1, beta1=1.0)
refuse(E_ARG, ["weight_decay is -1"], "adamw", z(2, f4), z(2, f4), z(2, f4), z(2, f4), lr, t1, weight_decay=-1.0)
refuse(E_RANGE, ["t is 0", "1 at the first"], "adamw", z(2, f4), z(2, f4), z(2, f4), z(2, f4), lr, np.array(0))
i1 = np.int8
refuse(E_DTYPE, ["i32[2,3]", "f32"], "quantize", z((2, 3), np.int32))
refuse(E_SHAPE, ["f32", "[...,D]"], "quantize", z((), f4))
refuse(E_SHAPE, ["f32[2,1]", "scalar"], "quantize", z((2, 3), f4), z((2, 1), f4))
refuse(E_DTYPE, ["f32[2,3]", "i8"], "dequantize", z((2, 3), f4), z((), f4))
refuse(E_SHAPE, ["f32[3,1]", "i8[2,3]"], "dequantize", z((2, 3), i1), z((3, 1), f4))
refuse(E_SHAPE, ["f32[4,2,3]", "i8[2,3]"], "dequantize", z((2, 3), i1), z((4, 2, 3), f4))
refuse(E_DTYPE, ["q is f32[2,3]"], "quantized_linear", z((2, 3), f4), z((2, 1), f4), z((4, 3), i1), z((4, 1), f4))
refuse(E_DTYPE, ["w is f32[4,3]"], "quantized_linear", z((2, 3), i1), z((2, 1), f4), z((4, 3), f4), z((4, 1), f4))
refuse(E_SHAPE, ["w is i8[4,5]", "i8[2,3]"], "quantized_linear", z((2, 3), i1), z((2, 1), f4), z((4, 5), i1), z((4, 1), f4))
refuse(E_SHAPE, ["qs is f32[2]", "f32[2,1]"], "quantized_linear", z((2, 3), i1), z(2, f4), z((4, 3), i1), z((4, 1), f4))
refuse(E_SHAPE, ["ws is f32[4]", "f32[4,1]"], "quantized_linear", z((2, 3), i1), z((2, 1), f4), z((4, 3), i1), z(4, f4))
refuse(E_SHAPE, ["f32[3]", "f32[4]"], "quantized_linear", z((2, 3), i1), z((2, 1), f4), z((4, 3), i1), z((4, 1), f4), z(3, f4))
refuse(E_SHAPE, ["131072", "131071"], "quantized_linear", z((1, 131072), i1), z((), f4), z((1, 131072), i1), z((1, 1), f4))
refuse(E_ARG, ["input w has no type"], "quantized_linear", z((2, 3), i1), z((), f4), Weight(z((4, 3), f4)), z((4, 1), f4))
tap.ok(ops.finish() == 0, "the runner ends well")
tap.done()
