#!/usr/bin/python3
"""ops_language.t -- what language models need of plugins/ops, against numpy in f64: weights in formats
that plugins decode, coded_linear, rotary positions, keys and values in a pool, and every refusal.

Formats are decoded by numpy here, by the plugins there. Each case also runs with its tiles
shuffled and in place (op_runner.c): the bits may not change.
"""
import itertools
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tap
from op_oracle import BUILD, Close, Coded, Refused, Runner, Weight, U, roundings, np

np.seterr(all="ignore")
rng = np.random.default_rng(11)
f4, f8 = np.float32, np.float64
has_blocks = os.path.exists(os.path.join(BUILD, "plugins", "gguf.so"))
ops = Runner("ops", "half", *["gguf"] * has_blocks)


def normal(*shape, scale=1.0):
    return (rng.standard_normal(shape) * scale).astype(f4)


# ---- formats, by numpy ----

def f16_codes(x):
    return x.astype(np.float16).view(np.uint8)


def f16_values(codes):
    return np.ascontiguousarray(codes).view(np.float16).astype(f4)


def bf16_codes(x):
    u = np.ascontiguousarray(x).view(np.uint32)
    return ((u + 0x7fff + (u >> 16 & 1)) >> 16).astype(np.uint16).view(np.uint8)


def bf16_values(codes):
    return (np.ascontiguousarray(codes).view(np.uint16).astype(np.uint32) << 16).view(f4)


def q8_0_codes(x):
    """any codes will do: scales in f16, then 32 bytes, of which those behind a row's end are nobody's"""
    lacks = -x.shape[-1] % 32
    if lacks:
        codes = q8_0_codes(np.concatenate([x, np.zeros((*x.shape[:-1], lacks), f4)], -1))
        codes[..., -lacks:] = 77
        return codes
    rows = x.reshape(-1, 32)
    d = (np.abs(rows).max(1) / 127).astype(np.float16)
    q = np.clip(np.rint(rows / np.where(d > 0, d, 1).astype(f4)[:, None]), -127, 127).astype(np.int8)
    out = np.concatenate([d[:, None].view(np.uint8), q.view(np.uint8)], axis=1)
    return out.reshape(*x.shape[:-1], -1)


def q8_0_values(codes):
    rows = np.ascontiguousarray(codes).reshape(-1, 34)
    d = np.ascontiguousarray(rows[:, :2]).view(np.float16).astype(f4)
    return (rows[:, 2:].view(np.int8).astype(f4) * d).reshape(*codes.shape[:-1], -1)


formats = {"f16": (f16_codes, f16_values, 1), "bf16": (bf16_codes, bf16_values, 1)}
if has_blocks:
    formats["q8_0"] = (q8_0_codes, q8_0_values, 32)


def coded(name, x):
    """x in a format, and what it then is worth"""
    if name == "f32":
        return x, x
    encode, decode, _ = formats[name]
    codes = encode(x)
    return Coded(name, x.shape, codes), decode(codes).reshape(*x.shape[:-1], -1)[..., :x.shape[-1]].copy()


# ---- weights that are decoded ----

c = Close(tap)
for name, (shape, out), bias in itertools.product(
        formats, [((1, 32), 7), ((5, 64), 65), ((17, 96), 66), ((2, 3, 32), 4), ((32,), 5), ((2, 0), 3), ((0, 32), 3), ((33, 1024), 130),
                  ((3, 17), 7), ((18, 720), 66)], (0, 1)):
    x, b = normal(*shape), normal(out)
    w, value = coded(name, normal(out, shape[-1]))
    want = x.astype(f8) @ value.astype(f8).T + (b if bias else 0)
    size = np.abs(x).astype(f8) @ np.abs(value).astype(f8).T + (np.abs(b) if bias else 0)
    y = ops.run("linear", x, w, *[b] * bias)
    c.see(y, want, U * (roundings(shape[-1]) + 1) * size, f"{name} {shape}")
    c.exact(y, ops.run("linear", x, value, *[b] * bias), f"{name} {shape}, decoded before")
    add = normal(*shape[:-1], out)
    c.exact(ops.run("linear", x, w, None, add, tails=[("silu",), ("mul", 3, 0)]),
            ops.run("mul", ops.run("silu", ops.run("linear", x, w)), add), f"{name} {shape}, tails")
c.done(f"linear takes w in {', '.join(formats)}, with the bits of decoded weights", "as linear in f32")

c = Close(tap)
for name in formats:
    t, value = coded(name, normal(40, 64))
    for ids in (np.array([3, 0, 39]), np.array(5, np.int32), rng.integers(0, 40, (7, 90)), np.zeros((0, 2), np.int64)):
        c.exact(ops.run("embedding", t, ids), value[ids], f"{name} {ids.shape}")
    for width in (65536, 17, 720):
        wide, value = coded(name, normal(2, width))
        c.exact(ops.run("embedding", wide, np.array([1, 0, 1])), value[[1, 0, 1]], name)
table = rng.standard_normal((5, 6))
c.exact(ops.run("embedding", table, np.array([4, 4])), table[[4, 4]], "f64")
c.done(f"embedding gives f32 rows of a table in {', '.join(formats)}")

# ---- codes in blocks ----

c = Close(tap)
for shape, group in (((4, 64), 32), ((3, 5, 32), 8), ((64,), 64), ((2, 16), 1), ((0, 32), 32), ((2, 0), 4), ((700, 96), 32), ((2, 20000), 10000),
                     ((5, 48), 32), ((3, 2, 720), 32), ((900, 17), 32), ((2, 7), 100)):
    x = normal(*shape, scale=3)
    lacks = -shape[-1] % group  # zeros in the last group's place change no scale and are codes of 0
    if x.size > 2 * group and not lacks:
        x.reshape(-1, group)[0] = 0
        x.reshape(-1, group)[1, 0] = [np.nan, np.inf][group % 3 % 2]
    q, s = ops.run("quantize_blocks", x, group=group)
    x = np.concatenate([x, np.zeros((*shape[:-1], lacks), f4)], -1)
    shape = x.shape
    rows = x.reshape(-1, group) if x.size else x.reshape(0, group)
    # numpy computes the same f32 operations; the whole of it is exact
    most = np.abs(rows).max(1) if x.size else np.zeros(0, f4)
    scale = np.where(np.isfinite(most), np.where(most / f4(127) > 0, most / f4(127), f4(1)), f4(np.nan))
    codes = np.nan_to_num(np.clip(np.rint(rows / scale[:, None]), -127, 127), nan=0).astype(np.int8)
    c.exact(q, codes.reshape(shape), f"{shape} {group}")
    c.see(s, scale.reshape(*shape[:-1], shape[-1] // group), 0, f"{shape} {group}")
    if group != shape[-1]:
        continue
    c.exact(q, ops.run("quantize", x)[0], "one group is a row")
c.done("quantize_blocks is quantize for each group of neighbours")

c = Close(tap)
for name, (shape, out), group, bias in itertools.product(
        formats, [((1, 32), 7), ((5, 64), 65), ((17, 96), 66), ((2, 3, 32), 4), ((32,), 5), ((0, 32), 3), ((33, 1024), 130), ((18, 720), 66), ((2, 17), 7)], (32, 8), (0, 1)):
    q, s = ops.run("quantize_blocks", normal(*shape), group=group)
    w, value = coded(name, normal(out, shape[-1]))
    b = normal(out)
    x = (q.astype(f8) * np.repeat(s, group, -1))[..., :shape[-1]]
    want = x @ value.astype(f8).T + (b if bias else 0)
    size = np.abs(x) @ np.abs(value).astype(f8).T + (np.abs(b) if bias else 0)
    y = ops.run("coded_linear", q, s, w, *[b] * bias)
    c.see(y, want, U * (roundings(shape[-1]) + 2) * size, f"{name} {shape} {group}")
    add = normal(*shape[:-1], out)
    c.exact(ops.run("coded_linear", q, s, w, None, add, tails=[("add", 4, 0), ("silu",)]),
            ops.run("silu", ops.run("add", ops.run("coded_linear", q, s, w), add)), f"{name} {shape}, tails")
for name, shape in itertools.product(("f16", "bf16"), ((1, 32), (3, 5, 48), (20, 600))):
    x, there = coded(name, normal(*shape))
    w, value = coded(name, normal(70, shape[-1]))
    want = there.astype(f8) @ value.astype(f8).T
    size = np.abs(there).astype(f8) @ np.abs(value).astype(f8).T
    b = normal(70)
    c.see(ops.run("coded_linear", x, None, w, b), want + b, U * (roundings(shape[-1]) + 1) * (size + np.abs(b)), f"{name} {shape}")
    c.exact(ops.run("coded_linear", x, None, w), ops.run("linear", there, value), f"{name} {shape}, decoded before")
c.done("coded_linear is linear of decoded codes", "as linear; a code times its scale rounds once")

# ---- rotary positions ----

c = Close(tap)
for dims, base, scale, dtype in itertools.product((2, 64, 126), (10000.0, 500000.0), (1.0, 0.25), (np.int32, np.int64)):
    position = np.concatenate([np.arange(600), rng.integers(-10 ** 6, 10 ** 8, 50)]).astype(dtype)
    for factors in (None, rng.uniform(1, 32, dims // 2).astype(f4)):
        step = scale * base ** (-2.0 * np.arange(dims // 2) / dims)
        angle = position[:, None].astype(f8) * step / (1 if factors is None else factors.astype(f8))
        got = ops.run("rope_angles", position, *([] if factors is None else [factors]), dims=dims, base=base, scale=scale)
        for y, want in zip(got, (np.cos(angle), np.sin(angle))):
            c.see(y, want, 1.1 * U * np.abs(want) + 2.0 ** -51 * np.abs(angle), f"{dims} {base}")
c.exact(ops.run("rope_angles", np.zeros(0, np.int32), dims=4)[1], np.zeros((0, 2), f4))
c.done("rope_angles gives cosines and sines", "one rounding to f32, and the angle's in f64")

c = Close(tap)
for (tokens, heads, width, dims), pairs, lead in itertools.product(
        [(1, 1, 2, 2), (5, 4, 64, 64), (300, 3, 80, 32), (7, 2, 6, 4), (0, 2, 4, 4)], ("half", "interleaved"), ((), (3,))):
    x = normal(*lead, tokens, heads * width)
    cosine, sine = ops.run("rope_angles", np.arange(tokens, dtype=np.int32) * 7, dims=dims)
    y = ops.run("rope", x, cosine, sine, heads=heads, pairs=pairs)
    head = x.astype(f8).reshape(*lead, tokens, heads, width)
    turned = head[..., :dims].reshape(*head.shape[:-1], dims // 2, 2) if pairs == "interleaved" else \
        np.stack([head[..., :dims // 2], head[..., dims // 2:dims]], -1)
    # a complex number turned by e^(i angle)
    z = (turned[..., 0] + 1j * turned[..., 1]) * (cosine.astype(f8) + 1j * sine.astype(f8))[:, None]
    want = head.copy()
    if pairs == "interleaved":
        want[..., :dims:2], want[..., 1:dims:2] = z.real, z.imag
    else:
        want[..., :dims // 2], want[..., dims // 2:dims] = z.real, z.imag
    size = np.abs(want)
    reach = np.repeat(np.abs(turned).sum(-1), 2, -1) if pairs == "interleaved" else \
        np.concatenate([np.abs(turned).sum(-1)] * 2, -1)
    size[..., :dims] = reach
    c.see(y, want.reshape(x.shape), np.where(want == head, 0, 2 * U * size).reshape(x.shape), f"{tokens} {heads} {pairs}")
c.done("rope turns pairs as complex numbers do", "two roundings of |a| + |b|")

# ---- keys and values in a pool ----


def empty(name, n, s, w, fill=0.0):
    """a pool of one number, or of rows that no format of numbers can be (NaN) where it has none"""
    return coded(name, np.full((n, s, w), fill, f4))[0]


def as_pool(name, answer, n, s, w):
    return answer if name == "f32" else Coded(name, (n, s, w), answer.view(np.uint8))


def values_of(name, pool, n, s, w):
    return pool if name == "f32" else formats[name][1](pool.codes).reshape(n, s, -1)[..., :w]


names = ["f32"] + list(formats)
c = Close(tap)
for name, (n, s, w), tokens in itertools.product(names, [(5, 4, 32), (3, 16, 256), (1, 1, 64), (4, 2, 80)], (0, 1, 9)):
    x = normal(tokens, w)
    slot = rng.permutation(n * s)[:tokens] if tokens <= n * s else rng.integers(0, n * s, tokens)
    slot = np.where(rng.random(tokens) < 0.2, -1, slot).astype(np.int32)
    before = normal(n, s, w)
    pool, want = coded(name, before)
    want = want.copy().reshape(n * s, w)
    for t in range(tokens):
        if slot[t] >= 0:
            want[slot[t]] = x[t] if name == "q8_0" else coded(name, x[t:t + 1])[1][0]
    got = as_pool(name, ops.run("kv_write", pool, x, slot), n, s, w)
    got = values_of(name, got, n, s, w).reshape(n * s, w)
    if name == "q8_0":  # encoders round scales their own way: half a step, and 127 times f16's half
        step = np.repeat(np.maximum.reduceat(np.abs(want), np.arange(0, w, 32), -1), 32, -1)[:, :w] / 127
        c.see(got, want, np.where(np.isin(np.arange(n * s), slot)[:, None], 0.57 * step, 0), f"{name} {n} {s} {w}")
    else:
        c.exact(got, want, f"{name} {n} {s} {w}")
c.done(f"kv_write writes rows where slots say and leaves the others, in {', '.join(names)}")


def attend(q, k, v, heads, kv_heads, seen, scale):
    """one query in f64; y, and a bound on its error"""
    d, dv = k.shape[1] // kv_heads, v.shape[1] // kv_heads
    y, bound = np.zeros(heads * dv), np.zeros(heads * dv)
    for head in range(heads):
        g = head // (heads // kv_heads)
        K, V = k[:seen, g * d:(g + 1) * d].astype(f8), v[:seen, g * dv:(g + 1) * dv].astype(f8)
        Q = q[head * d:(head + 1) * d].astype(f8)
        score = K @ Q * scale
        p = np.exp(score - score.max(initial=-np.inf))
        p = p / p.sum()
        y[head * dv:(head + 1) * dv] = p @ V
        # a score errs by its sum's roundings, and so does e^score, relatively
        err = (np.abs(K) @ np.abs(Q) * scale * U * (roundings(d) + 2)).max(initial=0) * 2 + U * (2 * roundings(seen) + 8)
        bound[head * dv:(head + 1) * dv] = (p @ np.abs(V)) * err
    return y, bound


def scatter(rows, table, s, n, fill):
    """rows of a sequence into a pool by its table; all other rows are `fill`"""
    pool = np.full((n * s, rows.shape[1]), fill, f4)
    place = table[np.arange(len(rows)) // s].astype(np.int64) * s + np.arange(len(rows)) % s
    pool[place] = rows
    return pool.reshape(n, s, -1)


shapes = [(1, 1, 32, 32, 4), (4, 2, 32, 32, 16), (8, 2, 64, 32, 16), (15, 5, 64, 64, 16), (3, 3, 32, 64, 5), (4, 2, 40, 24, 5)]
c, same = Close(tap), Close(tap)
for name, (heads, kv, d, dv, s), length in itertools.product(names, shapes, (1, 7, 40, 530)):
    n = -(-length // s) + 3
    k, v = normal(length, kv * d), normal(length, kv * dv)
    tokens = min(length, 9)
    q = normal(tokens, heads * d)
    last = np.arange(length - tokens, length).astype(np.int32)
    scale = 0.0 if length % 2 else 0.3
    fill = 0.0 if name == "q8_0" else np.nan  # behind the last row nothing is read
    answers = []
    for turn in range(2):
        table = rng.permutation(n)[:-(-length // s)].astype(np.int32)
        pools = [coded(name, scatter(rows, table, s, n, fill)) for rows in (k, v)]
        longer = np.concatenate([table, np.full(2, -7, np.int32)])  # entries behind the last row are not read
        args = [pools[0][0], pools[1][0], longer]
        y = ops.run("paged_attention", q, *args, last, heads=heads, kv_heads=kv, scale=scale)
        alone = [ops.run("paged_attention", q[t:t + 1], *args, last[t:t + 1], heads=heads, kv_heads=kv, scale=scale)
                 for t in range(tokens)]
        same.exact(np.concatenate(alone), y, f"{name} {heads} {length}: token by token")
        answers.append(y)
    same.exact(answers[1], answers[0], f"{name} {heads} {length}: another table")
    place = table[np.arange(length) // s].astype(np.int64) * s + np.arange(length) % s
    K, V = (p[1].reshape(n * s, -1)[place] for p in pools)
    for t in range(tokens):
        want, bound = attend(q[t], K, V, heads, kv, last[t] + 1, scale or 1 / np.sqrt(d))
        c.see(y[t], want, bound, f"{name} {heads} {length}")
    same.exact(y, ops.run("attention", q, K[:length], V[:length], heads=heads, kv_heads=kv, scale=scale, causal=True),
               f"{name} {heads} {length}: attention")
c.done(f"paged_attention is softmax(scale q k^T) v over a sequence's rows, in {', '.join(names)}", "roundings of scores and of both sums")
same.done("paged_attention's bits are attention's, whatever the table and the number of queries")

c = Close(tap)
heads, kv, d, s, n = 4, 2, 32, 4, 12
for name in names:
    k, v, q = normal(23, kv * d), normal(23, kv * d), normal(23, heads * d)
    answers = []
    for cut in ([23], [1] * 23, [7, 1, 15]):
        table = rng.permutation(n)[:6].astype(np.int32)
        slot = (table[np.arange(23) // s] * s + np.arange(23) % s).astype(np.int32)
        pools, got, at = [empty(name, n, s, kv * d, 3.0), empty(name, n, s, kv * d, -3.0)], [], 0
        for step in cut:
            to = at + step
            pools = [as_pool(name, ops.run("kv_write", p, rows[at:to], slot[at:to]), n, s, kv * d) for p, rows in zip(pools, (k, v))]
            got.append(ops.run("paged_attention", q[at:to], *pools, table, np.arange(at, to).astype(np.int32), heads=heads, kv_heads=kv))
            at = to
        answers.append(np.concatenate(got))
    c.exact(answers[1], answers[0], f"{name}: token by token")
    c.exact(answers[2], answers[0], f"{name}: 7, 1 and 15")
c.done("a prompt at once, in parts or token by token leaves the same bits")

y = ops.run("paged_attention", normal(2, 64), normal(2, 4, 64), normal(2, 4, 64), np.array([-1, 1], np.int32),
            np.array([-1, -1], np.int32), heads=2)
tap.ok((y == 0).all() and not np.signbit(y).any(), "a query without a last row gives 0 and reads no table")
k = normal(1, 4, 64)
k[0, 2] = np.nan
y = ops.run("paged_attention", normal(2, 64), k, k, np.array([0], np.int32), np.array([1, 2], np.int32), heads=2)
tap.ok(np.isfinite(y[0]).all() and np.isnan(y[1]).all(), "NaN in a row that is attended shows, behind the last row it does not")
x, slot = normal(3, 8), np.array([1, 2, 1], np.int32)
tap.ok(np.array_equal(ops.run("kv_write", np.zeros((1, 4, 8), f4), x, slot)[0, 1], x[2]), "of equal slots the last one stays")

# ---- refusals ----

E_ARG, E_SHAPE, E_DTYPE, E_RANGE = -1, -2, -3, -5


def refuse(code, words, op, *ins, **more):
    try:
        ops.run(op, *ins, label="robot/x.3", **more)
    except Refused as r:
        missing = [w for w in ["robot/x.3", op] + words if w not in r.why]
        tap.ok(r.code == code and not missing, f"{op} refuses: {r.why}"
               + (f" (code {r.code}, missing {missing})" if r.code != code or missing else ""))
    else:
        tap.ok(False, f"{op} takes what it should refuse: {words}")


def half(*shape):
    return coded("f16", np.zeros(shape, f4))[0]


z, i1, i4 = np.zeros, np.int8, np.int32
refuse(E_SHAPE, ["w is f16[4,5]", "f32[2,3]"], "linear", z((2, 3), f4), half(4, 5))
refuse(E_DTYPE, ["x is f64[2,3]", "w is f16[4,3]"], "linear", z((2, 3), f8), half(4, 3))
refuse(E_ARG, ["group is 0"], "quantize_blocks", z((2, 3), f4), group=0)
refuse(E_SHAPE, ["x is f32;", "groups of 2"], "quantize_blocks", z((), f4), group=2)
refuse(E_SHAPE, ["w is f16[4,31]", "[out,64]"], "coded_linear", z((2, 64), i1), z((2, 2), f4), half(4, 31))
refuse(E_DTYPE, ["f64[2,3]"], "quantize_blocks", z((2, 3), f8), group=3)
q, s, w = z((2, 64), i1), z((2, 2), f4), half(4, 64)
refuse(E_ARG, ["input s"], "coded_linear", q, None, w)
refuse(E_ARG, ["input w"], "coded_linear", q, s)
refuse(E_ARG, ["input w has no type"], "coded_linear", q, s, Weight(z((4, 64), f4)))
refuse(E_DTYPE, ["w is f32[4,64]"], "coded_linear", q, s, z((4, 64), f4))
refuse(E_DTYPE, ["s is f64[2,2]"], "coded_linear", q, z((2, 2), f8), w)
refuse(E_SHAPE, ["s is f32[2,3]", "i8[2,64]"], "coded_linear", q, z((2, 3), f4), w)
refuse(E_SHAPE, ["s is f32[1,2]", "i8[2,64]"], "coded_linear", q, z((1, 2), f4), w)
refuse(E_SHAPE, ["w is f16[4,32]", "[out,64]"], "coded_linear", q, s, half(4, 32))
refuse(E_SHAPE, ["f32[3]", "f32[4]"], "coded_linear", q, s, w, z(3, f4))
refuse(E_DTYPE, ["q is f32[2,64]", "i8"], "coded_linear", z((2, 64), f4), None, w)
refuse(E_DTYPE, ["q is bf16[2,64]", "w is f16[4,64]"], "coded_linear", coded("bf16", z((2, 64), f4))[0], None, w)
refuse(E_ARG, ["leave s out"], "coded_linear", half(2, 64), s, w)
if has_blocks:
    part = Coded("q4_k", (4, 48), np.zeros(0, np.uint8))
    pool = Coded("q4_k", (2, 4, 48), np.zeros(0, np.uint8))
    refuse(E_SHAPE, ["w is q4_k[4,48]", "blocks of 256"], "linear", z((2, 48), f4), part)
    refuse(E_SHAPE, ["w is q4_k[4,48]", "blocks of 256"], "coded_linear", z((2, 48), i1), z((2, 1), f4), part)
    refuse(E_SHAPE, ["table is q4_k[4,48]", "blocks of 256"], "embedding", part, np.array([1]))
    refuse(E_SHAPE, ["pool is q4_k[2,4,48]", "blocks of 256"], "kv_write", pool, z((1, 48), f4), z(1, i4))
    refuse(E_SHAPE, ["k is q4_k[2,4,48]", "blocks of 256"], "paged_attention", z((1, 48), f4), pool, pool, z(2, i4), z(1, i4), heads=1)
    table = Coded("q8_0", (4, 32), np.zeros(4 * 34, np.uint8))
    refuse(E_RANGE, ["id 4 at place 1", "0 to 3"], "embedding", table, np.array([0, 4]))
refuse(E_ARG, ["dims is 3"], "rope_angles", z(2, i4), dims=3)
refuse(E_ARG, ["base is 0"], "rope_angles", z(2, i4), dims=4, base=0.0)
refuse(E_SHAPE, ["i32[2,1]"], "rope_angles", z((2, 1), i4), dims=4)
refuse(E_SHAPE, ["f32[3]", "f32[2]"], "rope_angles", z(2, i4), z(3, f4), dims=4)
refuse(E_DTYPE, ["f32[2]"], "rope_angles", z(2, f4), dims=4)
refuse(E_RANGE, ["position 5000000000 at place 1", "pair 0"], "rope_angles", np.array([0, 5 * 10 ** 9]), dims=4)
refuse(E_RANGE, ["position 1 at place 0", "pair 1"], "rope_angles", np.array([1]), np.array([1, 0], f4), dims=4)
a = z((2, 2), f4)
refuse(E_SHAPE, ["f32[2,6]", "4 heads"], "rope", z((2, 6), f4), a, a, heads=4)
refuse(E_SHAPE, ["cos is f32[2,2]", "f32[3,8]"], "rope", z((3, 8), f4), a, a, heads=2)
refuse(E_SHAPE, ["cos is f32[2,2]", "3 entries"], "rope", z((2, 6), f4), a, a, heads=2)
refuse(E_SHAPE, ["sin f32[2,1]"], "rope", z((2, 8), f4), a, z((2, 1), f4), heads=2)
refuse(E_DTYPE, ["cos is f64[2,2]"], "rope", z((2, 8), f4), z((2, 2), f8), a, heads=2)
pool = z((2, 4, 8), f4)
refuse(E_DTYPE, ["pool is i8[2,4,8]"], "kv_write", z((2, 4, 8), i1), z((3, 8), f4), z(3, i4))
refuse(E_SHAPE, ["pool is f32[2,8]"], "kv_write", z((2, 8), f4), z((3, 8), f4), z(3, i4))
refuse(E_SHAPE, ["x is f32[3,4]", "[T,8]"], "kv_write", pool, z((3, 4), f4), z(3, i4))
refuse(E_SHAPE, ["slot is i32[2]", "3 tokens"], "kv_write", pool, z((3, 8), f4), z(2, i4))
refuse(E_DTYPE, ["slot is i64[3]"], "kv_write", pool, z((3, 8), f4), z(3, np.int64))
refuse(E_RANGE, ["slot 8 of token 1", "-1 to 7"], "kv_write", pool, z((3, 8), f4), np.array([0, 8, 1], i4))
refuse(E_RANGE, ["slot -2 of token 2", "-1 to 7"], "kv_write", pool, z((3, 8), f4), np.array([0, 7, -2], i4))
q, one = z((1, 16), f4), z(1, i4)
refuse(E_ARG, ["heads is 3, kv_heads 2"], "paged_attention", q, pool, pool, one, one, heads=3, kv_heads=2)
refuse(E_SHAPE, ["q is f32[1,16]", "3 heads"], "paged_attention", q, pool, pool, one, one, heads=3)
refuse(E_SHAPE, ["k f32[2,4,8]", "2 kv_heads"], "paged_attention", q, pool, pool, one, one, heads=2)
refuse(E_SHAPE, ["v f32[3,4,8]"], "paged_attention", q, pool, z((3, 4, 8), f4), one, one, heads=2, kv_heads=1)
refuse(E_DTYPE, ["k is f32[2,4,8]", "v is f16[2,4,8]"], "paged_attention", q, pool, half(2, 4, 8), one, one, heads=2, kv_heads=1)
refuse(E_DTYPE, ["table is i64[1]"], "paged_attention", q, pool, pool, z(1, np.int64), one, heads=2, kv_heads=1)
refuse(E_SHAPE, ["last is i32[2]", "1 tokens"], "paged_attention", q, pool, pool, one, z(2, i4), heads=2, kv_heads=1)
refuse(E_RANGE, ["last is 4 for query 0", "-1 to 3"], "paged_attention", q, pool, pool, one, np.array([4], i4), heads=2, kv_heads=1)
refuse(E_RANGE, ["last is -2"], "paged_attention", q, pool, pool, one, np.array([-2], i4), heads=2, kv_heads=1)
refuse(E_RANGE, ["block 2 at place 0", "0 to 1"], "paged_attention", q, pool, pool, np.array([2], i4), one, heads=2, kv_heads=1)
tap.ok(ops.finish() == 0, "the runner ends well")
tap.done()
