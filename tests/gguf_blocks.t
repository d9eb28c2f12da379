#!/usr/bin/python3
"""gguf_blocks.t -- the number formats of plugins/gguf against ggml's own code (golden/ggml_blocks.py)."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tap
from op_oracle import Runner, np

formats = Runner("gguf")
golden = np.load(os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden", "ggml_blocks.npz"))
x = golden["x"]
f4 = np.float32


def blocks(name):
    """elements and bytes of one"""
    return golden[name + ".values"].shape[1], golden[name + ".codes"].shape[1]


def decode(name, codes):
    """Runner.transcode counts numbers, and answers with as many"""
    elements, size = blocks(name)
    n = codes.size // size * elements
    return decode_some(name, codes, n)


def decode_some(name, codes, n):
    formats.line(f"decode {name} {n}")
    formats.p.stdin.write(np.ascontiguousarray(codes).tobytes())
    formats.p.stdin.flush()
    return np.frombuffer(formats.read(4 * n), f4)


def encode(name, v):
    elements, size = blocks(name)
    formats.line(f"encode {name} {v.size}")
    formats.p.stdin.write(np.ascontiguousarray(v, f4).tobytes())
    formats.p.stdin.flush()
    return np.frombuffer(formats.read(-(-v.size // elements) * size), np.uint8)


def error(name, codes, v):
    return ((decode(name, codes).astype(np.float64) - v.ravel()) ** 2).reshape(len(v), -1).sum(1)


for name in ("q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q4_k", "q5_k", "q6_k"):
    want = golden[name + ".values"].ravel()
    got = decode(name, golden[name + ".codes"])
    tap.ok((got.view(np.uint32) == want.view(np.uint32)).all(), f"{name}: {want.size} numbers decode to ggml's bits")

for name in ("q8_0", "q4_0", "q4_1", "q5_0", "q5_1"):
    want = golden[name + ".encoded"].ravel()
    tap.ok((encode(name, x) == want).all(), f"{name}: {x.size} numbers encode to ggml's bytes")

# rows that end inside a block: what lacks moves neither scale nor minimum
for name in ("q8_0", "q4_0", "q4_1", "q5_0", "q5_1"):
    good = True
    for n in (1, 16, 31, 33, 80, 720):
        for row in (x.ravel()[:n], x.ravel()[500:500 + n], 3 + np.abs(x.ravel()[1000:1000 + n])):
            codes = encode(name, row)
            filled = np.concatenate([row, np.repeat(row[-1:], -n % 32)])
            good &= (codes == encode(name, filled)).all() and (decode_some(name, codes, n) == decode(name, codes)[:n]).all()
            if name in ("q8_0", "q4_0", "q5_0"):
                zeros = np.concatenate([row, np.zeros(-n % 32, f4)])
                good &= (decode_some(name, codes, n) == decode(name, encode(name, zeros))[:n]).all()
    tap.ok(good, f"{name}: a row that ends inside a block has the codes of one that goes on with its last number")

# ggml weighs its errors by the numbers' magnitude; ours are squares, so sums of squares compare, row by row
for name in ("q4_k", "q5_k", "q6_k"):
    ours, theirs = error(name, encode(name, x), x), error(name, golden[name + ".encoded"].ravel(), x)
    worst = np.nanmax(np.where(theirs > 0, ours, 0) / np.where(theirs > 0, theirs, 1))
    # a single block may be unlucky
    tap.ok(worst < 1.03 and ours.sum() < theirs.sum(), f"{name}: no sort of values has a greater error than in ggml's codes, worst {worst:.3f} of it",
           f"{ours / np.maximum(theirs, 1e-300)}")
    rng = np.random.default_rng(3)
    v = rng.standard_normal((16, 4096)).astype(f4)
    rms = np.sqrt(error(name, encode(name, v), v).sum() / v.size)
    # 0.0714, 0.0361 and 0.0177 with ggml's quantize_row_*_ref on 2^18 such numbers
    bound = {"q4_k": 0.0708, "q5_k": 0.0350, "q6_k": 0.0171}[name]
    tap.ok(rms < bound, f"{name}: normal numbers lose {rms:.4f} of their deviation, want less than {bound}")
    codes = encode(name, v)
    tap.ok((encode(name, v.copy()) == codes).all(), f"{name}: the same numbers give the same bytes")

lost_most = {"q4": 0.008, "q5": 0.002, "q6": 0.0003, "q8": 0.00003}
for name in ("q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q4_k", "q5_k", "q6_k"):
    tap.ok(not decode(name, encode(name, np.zeros(256))).any(), f"{name}: zeros stay zeros")
    v = np.random.default_rng(2).standard_normal((1, 2048)).astype(f4)
    lost = [error(name, encode(name, v * f4(k)), v * f4(k)).sum() / ((v * k).astype(np.float64) ** 2).sum() for k in (1e-3, 1, 1e4)]
    tap.ok(max(lost) < lost_most[name[:2]], f"{name}: {max(lost):.2g} of the energy is lost at most, small numbers or great")
    if name.endswith("_k"):
        tiny = v * f4(1e-7)
        tap.ok(error(name, encode(name, tiny), tiny).sum() <= (tiny.astype(np.float64) ** 2).sum() * 1.0001,
               f"{name}: numbers too small for the scales are no worse off than as zeros")
tap.ok(formats.finish() == 0, "the runner ends well")
tap.done()
