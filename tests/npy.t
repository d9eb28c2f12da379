#!/usr/bin/python3
"""npy.t -- .npy files of NumPy, read by evla inspect, and what is refused."""
import json
import os
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
import tap
from op_oracle import np

evla = os.path.join(os.path.abspath(os.environ.get("EVLA_BUILD", os.path.join(here, "..", "build"))), "evla")
tap.need(evla)
work = tempfile.TemporaryDirectory(prefix="evla-npy-")
at = lambda name: os.path.join(work.name, name)
rng = np.random.default_rng(5)


def inspect(name):
    r = subprocess.run([evla, "inspect", at(name), "--json"], capture_output=True, text=True)
    return r.returncode, json.loads(r.stdout) if r.returncode == 0 else r.stderr


names = {"f4": "f32", "f8": "f64", "i1": "i8", "i2": "i16", "i4": "i32", "i8": "i64", "u1": "u8", "u2": "u16", "u4": "u32", "u8": "u64", "b1": "bool"}
for numpy_name, ours in names.items():
    a = (rng.normal(size=(3, 4, 5)) * 50).astype(numpy_name)
    np.save(at(numpy_name + ".npy"), a)
    code, got = inspect(numpy_name + ".npy")
    t = got["tensors"][0] if code == 0 else {}
    tap.ok(code == 0 and t["type"] == ours + "[3,4,5]" and t["name"] == numpy_name and t["min"] == float("%.10g" % a.min()) and
           t["max"] == float("%.10g" % a.max()) and abs(t["mean"] - a.mean(dtype="f8")) <= 1e-9 * abs(a).max(), f"{numpy_name} is {ours}", got)
for title, a, kind in (("a scalar", np.float32(7), "f32[]"), ("no rows", np.zeros((0, 4), "i4"), "i32[0,4]"), ("one extent", np.arange(3, dtype="u1"), "u8[3]"), ("eight", np.ones((1,) * 8, "f4"), "f32[1,1,1,1,1,1,1,1]")):
    np.save(at("x.npy"), a)
    code, got = inspect("x.npy")
    tap.ok(code == 0 and got["tensors"][0]["type"].removesuffix("[]") == kind.removesuffix("[]"), title, got)
with open(at("v2.npy"), "wb") as f:
    np.lib.format.write_array(f, np.arange(5, dtype="f4"), version=(2, 0))
code, got = inspect("v2.npy")
tap.ok(code == 0 and got["tensors"][0]["max"] == 4, "a file of version 2.0", got)


def refused(title, bytes, sentence):
    with open(at("bad.npy"), "wb") as f:
        f.write(bytes)
    code, got = inspect("bad.npy")
    tap.ok(code == 3 and sentence in got and len(got.strip().splitlines()) == 1, title + " is refused in a sentence", got)


def saved(a):
    np.save(at("x.npy"), a)
    with open(at("x.npy"), "rb") as f:
        return f.read()


good = saved(np.arange(6, dtype="f4").reshape(2, 3))
refused("a file that was cut off", good[:-1], "its shape takes 24 bytes, the file holds 23; was it cut off?")
refused("one cut off in its header", good[:40], "its header ends behind the file")
refused("a later version", good[:6] + b"\x09" + good[7:], "is of version 9.0")
refused("swapped bytes", saved(np.ones(3, ">f4")), 'its numbers are ">f4"')
refused("columns first", saved(np.asfortranarray(np.ones((2, 3)))), "its columns come first")
refused("a table of fields", saved(np.zeros(2, [("a", "f4"), ("b", "i4")])), "is it a table of fields?")
refused("numbers that the engine lacks", saved(np.ones(3, "c8")), 'its numbers are "<c8"')
refused("nine extents", saved(np.ones((1,) * 9, "f4")), "more than 8 extents")
for title, old, new, sentence in (
    ("an extent above 2^63", b"(2, 3), }           ", b"(99999999999999999999", "above 2^63"),
    ("another name", b"'shape'", b"'shade'", 'an entry "shade"'),
    ("no dictionary", b"{'descr'", b"['descr'", "no dictionary of descr"),
    ("no shape", b"'shape': (2, 3), ", b" " * 17, "does not say descr and shape"),
    ("an order that is none", b"False", b"Never", "neither True nor False"),
):
    refused(title, good.replace(old, new[:len(old)].ljust(len(old)), 1), sentence)
tap.done()
