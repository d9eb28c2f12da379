#!/usr/bin/python3
"""ggml_blocks.py -- writes ggml_blocks.npz: number formats in blocks as ggml itself reads and writes them.

Run by hand: npm pack @node-llama-cpp/linux-x64; tar xzf node-llama-cpp-linux-x64-*.tgz
             ggml_blocks.py package/bins/linux-x64/libggml-base.so      (3.22.1 was used)
Holds x (f32, 8 x 256, each row another sort of values), and for each format
  F.codes    blocks of random bytes whose numbers are finite
  F.values   what dequantize_row_F makes of them
  F.encoded  what quantize_row_F_ref makes of x
"""
import ctypes
import os
import sys

import numpy as np

FORMATS = {"q4_0": (32, 18), "q4_1": (32, 20), "q5_0": (32, 22), "q5_1": (32, 24), "q8_0": (32, 34),
           "q4_k": (256, 144), "q5_k": (256, 176), "q6_k": (256, 210)}
ggml = ctypes.CDLL(sys.argv[1])
rng = np.random.default_rng(5)


def call(name, source, out):
    f = getattr(ggml, name.replace("_k", "_K"))
    f.argtypes, f.restype = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64], None
    f(source.ctypes.data, out.ctypes.data, (out if out.dtype == np.float32 else source).size)
    return out


x = np.stack([rng.standard_normal(256) * 0.02, rng.laplace(size=256), rng.random(256) + 3, -rng.random(256),
              np.where(rng.random(256) < 0.05, 1, 0.01) * rng.standard_normal(256), np.zeros(256),
              rng.standard_normal(256) * 1e-4, np.repeat(rng.standard_normal(8), 32) * 1e4]).astype(np.float32)
made = {"x": x}
for name, (elements, size) in FORMATS.items():
    codes = rng.integers(0, 256, (4096 // elements, size), dtype=np.uint8)
    values = call("dequantize_row_" + name, codes, np.zeros((codes.shape[0], elements), np.float32))
    finite = np.flatnonzero(np.isfinite(values).all(1))[:1024 // elements]
    made[name + ".codes"], made[name + ".values"] = codes[finite], values[finite]
    made[name + ".encoded"] = call(f"quantize_row_{name}_ref", x, np.zeros((x.size // elements, size), np.uint8))
np.savez_compressed(os.path.join(os.path.dirname(os.path.abspath(__file__)), "ggml_blocks.npz"), **made)
