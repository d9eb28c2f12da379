#!/usr/bin/python3
"""bench_hdf5.py PROGRAM [FOLDER] -- plugins/hdf5 beside h5py, in one run on the same files.

PROGRAM is bench_hdf5. Prints one row per figure: what, how much, the bar. "By name" opens the
dataset for each read, as robomimic's loader does; "kept" keeps it open, which is the best h5py can.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import h5py
import numpy as np

program = sys.argv[1]
root = tempfile.mkdtemp(prefix="evla-bench-", dir=sys.argv[2] if len(sys.argv) > 2 else None)


def run(*args):
    return json.loads(subprocess.run([program, *map(str, args)], stdout=subprocess.PIPE, check=True).stdout)


def h5py_random(path, reads, keep):
    rng = np.random.default_rng(3)
    with h5py.File(path, "r", swmr=True, libver="latest") as f:
        demos = list(f["data"])
        sets = {d: f["data/%s/cameras/front/rgb" % d] for d in demos}
        for d in demos:
            sets[d][0:1]
        picks = [(demos[rng.integers(len(demos))], int(rng.integers(389))) for _ in range(reads)]
        start = time.perf_counter()
        for d, t in picks:
            x = sets[d][t:t + 2] if keep else f["data/%s/cameras/front/rgb" % d][t:t + 2]
        assert x.shape == (2, 96, 96, 3)
        return (time.perf_counter() - start) / reads * 1e6


def h5py_scan(path, threads):
    """Seconds for all frames; threads share the file, as h5py's lock lets them."""
    start = time.perf_counter()
    with h5py.File(path, "r", swmr=True, libver="latest") as f:
        demos = list(f["data"])

        def part(k):
            for d in demos[k::threads]:
                for name in ("rgb", "depth", "labels"):
                    f["data/%s/cameras/front/%s" % (d, name)][()]
        pool = [threading.Thread(target=part, args=(k,)) for k in range(threads)]
        for t in pool:
            t.start()
        for t in pool:
            t.join()
    return time.perf_counter() - start


def row(figure, measured, bar=""):
    print("%-58s %14s   %s" % (figure, measured, bar), flush=True)


try:
    for kind, reads in (("none", 4000), ("gzip", 400)):
        folder = os.path.join(root, kind)
        os.mkdir(folder)
        raw = run("raw", folder, 8)
        made = run("make", folder, kind, 8)
        path = os.path.join(folder, "demos.hdf5")
        mb = raw["bytes"] / 1e6
        what = "raw" if kind == "none" else kind
        row("hdf5, %s: episodes of 22.5 MB committed, MB/s" % what, "%.0f" % (mb / made["put_s"]),
            "write(2) and fsync: %.0f" % (mb / raw["put_s"]))
        row("hdf5, %s: committed and joined into a shard, MB/s" % what,
            "%.0f" % (mb / (made["put_s"] + made["finish_s"])), "stored in %.0f MB" % (os.path.getsize(path) / 1e6))
        ours = min(run("random", path, reads, k)["read_us"] for k in (1, 2, 3))
        kept = min(h5py_random(path, reads, True) for _ in range(3))
        named = min(h5py_random(path, reads, False) for _ in range(3))
        row("hdf5, %s: random reads of 2 frames, us" % what, "%.1f" % ours, "h5py %.1f, kept %.1f" % (named, kept))
        row("hdf5, %s: the same, times h5py by name" % what, "%.1fx" % (named / ours), ">= 3x")
        row("hdf5, %s: the same, times h5py with datasets kept" % what, "%.1fx" % (kept / ours))
        for threads in (1, 2):
            got = [run("scan", path, threads) for _ in range(3)]
            seconds = min(g["read_s"] for g in got)
            peer = min(h5py_scan(path, threads) for _ in range(3))
            row("hdf5, %s: all frames, %d threads, MB/s" % (what, threads), "%.0f" % (got[0]["bytes"] / seconds / 1e6),
                "h5py %.0f" % (got[0]["bytes"] / peer / 1e6))
            if kind == "gzip":
                row("hdf5, gzip: the same, times h5py", "%.1fx" % (peer / seconds), ">= 2x" if threads == 2 else "")
finally:
    shutil.rmtree(root)
