#!/usr/bin/python3
"""half_numpy.t -- f16 and bf16 of plugins/half against numpy: all codes, and the edges of rounding."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tap
from op_oracle import Bf16, Runner, np

np.seterr(all="ignore")
ops = Runner("half", "ops")
f4, u2, u4 = np.float32, np.uint16, np.uint32
codes = np.arange(65536, dtype=u2)
rng = np.random.default_rng(7)


def bf16(x):
    """nearest even by integer arithmetic; NaN becomes quiet"""
    u = x.view(u4).astype(np.uint64)
    r = ((u + 0x7fff + (u >> 16 & 1)) >> 16).astype(u2)
    return np.where(np.isnan(x), (u >> 16 | 0x40).astype(u2), r)


want = {"f16": codes.view(np.float16).astype(f4), "bf16": (codes.astype(u4) << 16).view(f4)}
names = ("f16", "bf16")
back = {}
for name in names:
    got, nan = ops.transcode("decode", name, codes, f4), np.isnan(want[name])
    back[name] = got
    tap.ok((got[~nan].view(u4) == want[name][~nan].view(u4)).all(), f"{name}: all {(~nan).sum()} numbers decode exactly")
    tap.ok(np.isnan(got[nan]).all(), f"{name}: all {nan.sum()} NaNs decode to NaN")
    again = ops.transcode("encode", name, got, u2)
    tap.ok((again[~nan] == codes[~nan]).all(), f"{name}: decoded numbers encode to themselves")
    quiet = 0x200 if name == "f16" else 0x40
    tap.ok((again[nan] == (codes[nan] | quiet)).all(), f"{name}: NaNs keep sign and payload and become quiet")

# around every number and every midpoint: one f32 step below, the value, one above
for name, ref in (("f16", lambda x: x.astype(np.float16).view(u2)), ("bf16", bf16)):
    v = np.sort(want[name][np.isfinite(want[name])].astype(np.float64))
    mid = np.concatenate([v, (v[1:] + v[:-1]) / 2]).astype(f4)
    x = np.concatenate([mid, np.nextafter(mid, f4(np.inf)), np.nextafter(mid, f4(-np.inf))])
    got = ops.transcode("encode", name, x, u2)
    tap.ok((got == ref(x)).all(), f"{name}: {x.size} values at and beside numbers and midpoints round to nearest even")
    edge = np.array([65503.99, 65504, 65519.996, 65520, 65536, 1e30, 3.4028235e38, np.inf, 2.0 ** -24, 2.0 ** -25,
                     np.nextafter(f4(2.0 ** -25), f4(1)), 2.0 ** -26, 1e-45, 0, 6.097e-5, 6.104e-5, 3.39e38], f4)
    edge = np.concatenate([edge, -edge])
    tap.ok((ops.transcode("encode", name, edge, u2) == ref(edge)).all(), f"{name}: overflow, underflow, subnormals")
    x = rng.integers(0, 2 ** 32, 200000, dtype=u4).view(f4)
    x = x[~np.isnan(x)]
    tap.ok((ops.transcode("encode", name, x, u2) == ref(x)).all(), f"{name}: {x.size} random floats")

x = (rng.standard_normal((130, 131)) * 100).astype(f4)
half = ops.run("cast", x, to="f16")
tap.ok(half.tobytes() == x.astype(np.float16).tobytes(), "cast f32 to f16")
tap.ok(ops.run("cast", x.astype(np.float16), to="f32").tobytes() == x.astype(np.float16).astype(f4).tobytes(), "cast f16 to f32")
tap.ok((ops.run("cast", x, to="bf16") == bf16(x)).all(), "cast f32 to bf16")
tap.ok((ops.run("cast", Bf16(bf16(x)), to="f32") == (bf16(x).astype(u4) << 16).view(f4)).all(), "cast bf16 to f32")
tap.ok(ops.run("cast", np.zeros((0, 3), f4), to="f16").shape == (0, 3), "cast of nothing")
tap.ok(ops.run("transpose", x.astype(np.float16)).tobytes() == np.ascontiguousarray(x.astype(np.float16).T).tobytes(),
       "plugins/ops moves f16 without knowing it")
tap.ok(ops.run("add", x.astype(np.float16), x.astype(np.float16), infer=True) == ("f16", [130, 131]),
       "add types f16, for kernels to come")
tap.ok(ops.finish() == 0, "the runner ends well")
tap.done()
