#!/usr/bin/python3
"""bench_hdf5.py PROGRAM [FOLDER] -- plugins/hdf5 beside h5py, in one run on the same files.

PROGRAM is bench_hdf5. Prints each figure, and the ratios the engine is judged by: random reads of
2 frames >= 3x h5py, gzip >= 2x h5py on 2 threads.
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


try:
    for kind, reads in (("none", 4000), ("gzip", 400)):
        folder = os.path.join(root, kind)
        os.mkdir(folder)
        made = run("make", folder, kind, 8)
        path = os.path.join(folder, "demos.hdf5")
        size = os.path.getsize(path)
        raw = run("raw", folder, 8)
        print("%s: 8 episodes of %.1f MB, %.0f MB stored; put %.3f s (write(2) of the same and fsync: %.3f s), "
              "finish %.3f s" % (kind, raw["bytes"] / 8e6, size / 1e6, made["put_s"], raw["put_s"],
                                 made["finish_s"]))
        ours = [run("random", path, reads, k)["read_us"] for k in (1, 2, 3)]
        kept = [h5py_random(path, reads, True) for _ in range(3)]
        named = [h5py_random(path, reads, False) for _ in range(3)]
        a, b, c = min(ours), min(kept), min(named)
        print("%s: random 2 frames: %.1f us; h5py %.1f us by dataset (%.1fx), %.1f us by name (%.1fx)"
              % (kind, a, b, b / a, c, c / a))
        for threads in (1, 2):
            got = [run("scan", path, threads) for _ in range(3)]
            seconds = min(g["read_s"] for g in got)
            peer = min(h5py_scan(path, threads) for _ in range(3))
            print("%s: all frames, %d threads: %.0f MB/s; h5py %.0f MB/s (%.1fx)"
                  % (kind, threads, got[0]["bytes"] / seconds / 1e6, got[0]["bytes"] / peer / 1e6, peer / seconds))
finally:
    shutil.rmtree(root)
