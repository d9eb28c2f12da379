#!/usr/bin/python3
"""hdf5_foreign.t -- datasets that h5py wrote, in the many ways it can, read by plugins/hdf5; and the
same files damaged, which must be refused with a sentence and never crash.
"""
import os
import random
import subprocess
import sys
import tempfile
from tap import done, need, ok

try:
    import h5py
    import numpy as np
except ImportError:
    print("1..0 # SKIP python3-h5py is not installed")
    sys.exit(0)
reader = os.path.abspath(os.path.join(os.environ.get("EVLA_BUILD", "build"), "tests", "hdf5_reader_runner"))
need(reader)


def read(path, *mask):
    run = subprocess.run([reader, path, *mask], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    return run.returncode, run.stdout.decode("utf-8", "replace"), run.stderr.decode("utf-8", "replace")


def fnv(data):
    x = 0xcbf29ce484222325
    for b in data:
        x = (x ^ b) * 0x100000001b3 & 0xffffffffffffffff
    return x


names = {"float16": "f16", "float32": "f32", "float64": "f64", "bool": "bool"}
for bits in (8, 16, 32, 64):
    names["int%d" % bits] = "i%d" % bits
    names["uint%d" % bits] = "u%d" % bits


def attr_line(name, value):
    if isinstance(value, (str, bytes)):
        return "attr %s '%s'" % (name, value.decode() if isinstance(value, bytes) else value)
    if isinstance(value, (np.floating, float)):
        return "attr %s %.17g" % (name, value)
    return "attr %s %d" % (name, value)


def expected(path):
    """The lines of hdf5_reader_runner from the first record on."""
    lines = []
    with h5py.File(path, "r") as f:
        for i, demo in enumerate(sorted(f["data"], key=lambda d: int(d[5:]))):
            g = f["data"][demo]
            lines.append("record %d" % i)
            attrs = [attr_line(k, v) for k, v in g.attrs.items()
                     if k not in ("num_samples", "stored_bytes") and np.ndim(v) == 0]
            found = []
            g.visititems(lambda n, o: found.append((n, o)) if isinstance(o, h5py.Dataset) else None)
            data = []
            for n, o in found:
                if o.dtype.kind in "SOV" or o.shape is None:
                    continue
                x = o[()]
                x = np.asarray(x).astype(o.dtype.newbyteorder("<"))
                shape = ",".join(str(d) for d in x.shape)
                data.append("data %s %s %s%016x" % (n, names[o.dtype.newbyteorder("=").name],
                                                    shape + (" " if shape else ""), fnv(x.tobytes())))
            lines += sorted(attrs) + sorted(data)
    return lines


def normal(text):
    """Attributes come in storage order, which is nobody's promise."""
    out, block = [], []
    lines = text.splitlines()
    start = next((i for i, l in enumerate(lines) if l.startswith("record")), len(lines))
    for line in lines[start:] + ["record end"]:
        if line.startswith("record"):
            out += sorted(l for l in block if l.startswith("attr")) + \
                sorted(l for l in block if l.startswith("data"))
            block = []
            if line != "record end":
                out.append(line)
        else:
            block.append(line)
    return out


def demos(f, n, rng, **how):
    data = f.create_group("data", track_order=how.pop("track_order", None))
    data.attrs["total"] = n * 9
    data.attrs["env_args"] = '{"env_name": "x", "type": 1, "env_kwargs": {}}'
    for i in range(n):
        g = data.create_group("demo_%d" % i)
        g.attrs["num_samples"] = 9
        g.attrs["model_file"] = "<mujoco/>" * (1 + i % 3 * 900)
        g.attrs["seed"] = np.int32(-5 - i)
        g.attrs["score"] = np.float32(0.25 + i)
        g.create_dataset("actions", data=rng.random((9, 7)), **how)
        g.create_dataset("rewards", data=rng.random(9).astype("f4"), **how)
        g.create_dataset("obs/image", data=rng.integers(0, 9, (9, 14, 17, 3), dtype="u1"), **how)
        g.create_dataset("obs/depth", data=rng.random((9, 14, 17, 1)).astype("f2"), **how)
        g.create_dataset("obs/touch", data=rng.random((9, 2)) < 0.5, **how)


def write(path, kind, rng):
    """Writes one kind of file; the sentence's words when it must be refused."""
    libver = "latest" if kind.startswith("latest") else None
    how = {}
    if "gzip" in kind:
        how = dict(compression="gzip", shuffle="shuffle" in kind, fletcher32="fletcher" in kind)
    if "lzf" in kind:
        how = dict(compression="lzf", shuffle=True)
    if "chunks" in kind:
        how["chunks"] = True
    if "order" in kind:
        how["track_order"] = True
    kwargs = dict(userblock_size=1024) if "userblock" in kind else {}
    with h5py.File(path, "w", libver=libver, **kwargs) as f:
        n = 300 if "many" in kind else 3
        if "odd" not in kind:
            demos(f, n, rng, **how)
            return None
        g = f.create_group("data/demo_0")
        g.create_dataset("actions", data=rng.random((40, 3)), chunks=(7, 2), compression="gzip")
        g.create_dataset("uneven", data=rng.integers(0, 99, (10, 11, 12), dtype="i4"), chunks=(3, 4, 5),
                         shuffle=True, compression="gzip")
        g.create_dataset("plain_chunks", data=rng.integers(0, 99, (40, 5), dtype="i2"), chunks=(16, 5))
        g.create_dataset("scalar", data=3.5)
        g.create_dataset("big", data=rng.random((5, 2)).astype(">f4"))
        g.create_dataset("big_int", data=np.arange(6, dtype=">i8"), chunks=(4,), compression="gzip", shuffle=True)
        g.create_dataset("unwritten", shape=(6, 4), dtype="f4")
        g.create_dataset("empty", shape=(0, 4), dtype="f4")
        sparse = g.create_dataset("sparse", shape=(50, 4), dtype="i4", chunks=(8, 4), compression="gzip")
        sparse[17:20] = 7
        g.create_dataset("text", data=np.array([b"ab", b"cde"]))
        g.create_dataset("words", data=["one", "two"])
        g.create_dataset("pairs", data=np.zeros(3, dtype=[("a", "i4"), ("b", "f4")]))
        g["soft"] = h5py.SoftLink("/data/demo_0/actions")
        g.attrs["many"] = np.arange(5)
        g.attrs["flag"] = True
        g.attrs["one"] = np.arange(1)
        g.attrs["fixed"] = np.bytes_("abc")
        for i in range(30):
            g.attrs["extra%d" % i] = i
        dcpl = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        dcpl.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((3, 2))
        small = h5py.h5d.create(g.id, b"compact", h5py.h5t.IEEE_F64LE, space, dcpl)
        small.write(space, space, np.arange(6.0).reshape(3, 2))


kinds = ["plain", "gzip", "gzip shuffle", "gzip shuffle fletcher", "lzf", "chunks", "userblock", "order",
         "many", "many order", "odd", "latest", "latest gzip shuffle", "latest chunks", "latest many",
         "latest odd", "latest gzip shuffle fletcher"]
good_files = []
with tempfile.TemporaryDirectory(prefix="evla-foreign-") as root:
    rng = np.random.default_rng(7)
    for kind in kinds:
        path = os.path.join(root, kind.replace(" ", "-") + ".hdf5")
        write(path, kind, rng)
        code, out, err = read(path)
        got, want = normal(out), expected(path)
        if kind.endswith("odd"):  # an array of one counts as a scalar here
            want = sorted(want + ["attr one 0"], key=lambda l: (not l.startswith("record"), l))
            got = sorted(got, key=lambda l: (not l.startswith("record"), l))
        ok(code == 0 and got == want, "%s: %d lines are as h5py reads them" % (kind, len(want)))
        if got != want:
            for line in [l for l in got if l not in want][:5]:
                print("# got ", line[:200])
            for line in [l for l in want if l not in got][:5]:
                print("# want", line[:200])
            print("#", out[-300:], err[-300:])
        if "many" not in kind:
            good_files.append(path)

    # refused by name
    def refused(what, words, make):
        path = os.path.join(root, "refused.hdf5")
        if os.path.exists(path):
            os.unlink(path)
        make(path)
        code, out, err = read(path)
        line = out.strip().splitlines()[-1] if out.strip() else ""
        ok(code == 1 and words in line and path in line, "%s: %s" % (what, line.replace(root, "")[:160]))

    def with_h5(fill, **kwargs):
        def make(path):
            with h5py.File(path, "w", **kwargs) as f:
                fill(f)
        return make

    refused("no data group", "no group data", with_h5(lambda f: f.create_group("episodes")))
    refused("no demonstration", "no demonstrations", with_h5(lambda f: f.create_group("data")))
    refused("data is a dataset", "no group data", with_h5(lambda f: f.create_dataset("data", data=1)))
    refused("szip-like filter", "filter number 6", with_h5(
        lambda f: f.create_dataset("data/demo_0/x", data=np.arange(99), scaleoffset=3)))
    refused("growing dataset of latest", "growing dataset", with_h5(
        lambda f: f.create_dataset("data/demo_0/x", data=np.arange(99), maxshape=(None,)), libver="latest"))
    refused("fill value", "fill value", with_h5(
        lambda f: f.create_dataset("data/demo_0/x", shape=(9,), fillvalue=3)))
    refused("link out of the folder", "not in its own folder", with_h5(
        lambda f: f.create_group("data").__setitem__("demo_0", h5py.ExternalLink("../x.hdf5", "/data/demo_0"))))
    refused("absolute link", "not in its own folder", with_h5(
        lambda f: f.create_group("data").__setitem__("demo_0", h5py.ExternalLink("/etc/passwd", "/data"))))
    path = os.path.join(root, "missing-shard.hdf5")
    with h5py.File(path, "w") as f:
        f.create_group("data")["demo_0"] = h5py.ExternalLink("gone.hdf5", "/data/demo_0")
    code, out, err = read(path)
    ok(code == 1 and "gone.hdf5" in out and "beside" in out, "a missing shard: " + out.strip().replace(root, "")[:160])
    refused("text", "no HDF5 file", lambda p: open(p, "w").write("hello " * 100))
    refused("nothing", "no HDF5 file", lambda p: open(p, "w").close())

    # damage: cut at many places, bytes flipped at many places
    random.seed(11)
    n_refused = n_read = 0
    bad = []
    per_file = int(os.environ.get("EVLA_DAMAGE", "60"))
    for good in good_files:
        data = open(good, "rb").read()
        for k in range(per_file):
            broken = bytearray(data)
            if k % 3 == 0:
                del broken[random.randrange(len(broken)):]
            else:
                # structure lies at the front and between arrays: aim there often
                for _ in range(random.choice((1, 1, 3))):
                    at = random.randrange(min(len(broken), 4096) if k % 2 else len(broken))
                    broken[at] = random.choice((0, 255, broken[at] ^ 1 << random.randrange(8)))
            path = os.path.join(root, "broken.hdf5")
            with open(path, "wb") as f:
                f.write(broken)
            code, out, err = read(path)
            last = out.strip().splitlines()[-1] if out.strip() else ""
            if code == 1 and last.startswith("refused -") and len(last) > 40:
                n_refused += 1
            elif code == 0:
                n_read += 1
            else:
                bad.append((good, k, code, last, err[-2000:]))
    for b in bad[:3]:
        print("#", b)
    ok(not bad, "damaged files: %d refused with a sentence, %d read (the flip hit an array, a spare byte "
       "or nothing checked), 0 crashes" % (n_refused, n_read))
done()
