#!/usr/bin/python3
"""hdf5_h5py.t -- what plugins/hdf5 writes, read as robomimic's loader reads it.

The calls are those of SequenceDataset, file_utils, get_dataset_info and split_train_val: see
docs/data-layout.md.
"""
import json
import os
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
writer = os.path.join(os.environ.get("EVLA_BUILD", "build"), "tests", "hdf5_writer_runner")
need(writer)


def ticks(i):
    return 20 + i * 7 % 13


def load(path, n, repeat, large, what):
    f = h5py.File(path, "r", swmr=True, libver="latest")
    demos = list(f["data"].keys())
    ok(all(d.startswith("demo_") for d in demos), what + ": data holds nothing but demonstrations")
    order = np.argsort([int(elem[5:]) for elem in demos])
    demos = [demos[i] for i in order]
    ok(demos == ["demo_%d" % i for i in range(n)], what + ": sorted by number")

    args = json.loads(f["data"].attrs["env_args"])
    ok({"env_name", "type", "env_kwargs"} <= set(args), what + ": env_args is JSON as train.py wants it")
    ok(isinstance(f["data"].attrs["model_file"], str), what + ": model_file is str")
    ok(f["data"].attrs["total"] == sum(ticks(i) for i in range(n)), what + ": total")

    first = f["data/{}".format(list(f["data"].keys())[0])]
    ok(first["actions"].shape[1:] == (7,) and len(first["obs"]) > 0, what + ": shapes for the model")
    good = True
    for i, demo in enumerate(demos):
        length = f["data/{}".format(demo)].attrs["num_samples"]
        good &= length == ticks(i) and isinstance(length, np.int64)
        for key in ("actions", "rewards", "dones", "states"):
            good &= f["data/{}/{}".format(demo, key)][()].astype("float32").shape[0] == length
        actions = f["data/{}/actions".format(demo)][()]
        good &= actions.dtype == np.float32 and -1 <= actions.min() and actions.max() <= 1
        for key in f["data/{}/obs".format(demo)]:
            good &= f["data/{}/obs/{}".format(demo, key)][()].shape[0] == length
        for t in (0, length // 2, length - 2):
            good &= f["data/{}/actions".format(demo)][t:t + 2].shape == (2, 7)
        good &= f["data/{}".format(demo)].attrs["instruction"] == "pick up the mug, take %d" % i
        good &= f["data/{}".format(demo)].attrs["seed"] == 1000 + i
    ok(good, what + ": lengths, types and slices of every demonstration")

    good = True
    for i, demo in enumerate(demos):
        camera = f["data/{}/cameras/front".format(demo)]
        frames = (ticks(i) * 30 + 99) // 100
        h, w = 8 * large, 12 * large
        good &= camera["rgb"].shape == (frames, h, w, 3) and camera["rgb"].dtype == np.uint8
        good &= camera["depth"].shape == (frames, h, w, 1) and camera["depth"].dtype == np.float16
        good &= camera["labels"].shape == (frames, h, w, 1) and camera["labels"].dtype == np.uint8
        good &= camera["depth"].attrs["unit"] == "m" and camera["rgb"].attrs["rate_hz"] == 30.0
        e = np.arange(frames * h * w * 3)
        good &= bool((camera["rgb"][()].ravel() == (e // 3 + i * 5 + 7) % 251).all())
        step = camera["step"][()]
        good &= bool((step == (np.arange(frames) * 100 + 29) // 30).all())
        if repeat:
            newest = np.searchsorted(step, np.arange(ticks(i)), side="right") - 1
            obs = f["data/{}/obs".format(demo)]
            for name, source in (("front_image", "rgb"), ("front_depth", "depth"), ("front_labels", "labels")):
                good &= bool((obs[name][()] == camera[source][()][newest]).all())
    ok(good, what + ": every pixel, float16 depth in metres" + (", repeated into obs" if repeat else ""))

    masks = {}
    for key in f["mask"]:
        masks[key] = [elem.decode("utf-8") for elem in np.array(f["mask/{}".format(key)][:])]
        ok(f["mask/{}".format(key)].dtype.kind == "S", what + ": mask/%s holds fixed strings" % key)
    ok(not set(masks["train"]) & set(masks["valid"]), what + ": train and valid are disjoint")
    ok(set(masks["train"]) | set(masks["valid"]) == set(demos), what + ": and cover all")
    ok(masks["success"] == [d for i, d in enumerate(demos) if i % 3], what + ": mask/success")
    ok(len(masks["valid"]) > 0, what + ": some are in valid: %d of %d" % (len(masks["valid"]), n))
    f.close()


with tempfile.TemporaryDirectory(prefix="evla-h5py-") as root:
    cases = [("one file", 1 << 30, "none", "separate", 1, 1), ("shards", 115000, "none", "separate", 1, 4),
             ("gzip shards", 400000, "gzip", "repeat", 8, 4), ("repeat", 1 << 30, "none", "repeat", 1, 1)]
    for what, shard, compress, images, large, n_shards in cases:
        folder = os.path.join(root, what.replace(" ", "-"))
        os.mkdir(folder)
        run = subprocess.run([writer, folder, "demos.hdf5", "13", str(shard), compress, images, str(large)],
                             stdout=subprocess.PIPE)
        report = json.loads(run.stdout) if run.returncode == 0 else {}
        ok(report.get("episodes") == 13, what + ": written: " + run.stdout.decode().strip())
        ok(report.get("shards") == n_shards, what + ": %d shards" % n_shards)
        if run.returncode:
            continue
        load(os.path.join(folder, "demos.hdf5"), 13, images == "repeat", large, what)
        names = sorted(os.listdir(folder))
        if n_shards > 1:
            seen = []
            for name in names[:-1]:  # each shard is a dataset by itself
                f = h5py.File(os.path.join(folder, name), "r", swmr=True, libver="latest")
                seen += sorted(f["data"], key=lambda d: int(d[5:]))
                mask = [d.decode() for k in ("train", "valid") for d in f["mask"][k][:]]
                ok(sorted(mask) == sorted(f["data"]) and "env_args" in f["data"].attrs and
                   f["data"].attrs["total"] == sum(f["data"][d].attrs["num_samples"] for d in f["data"]),
                   "%s: %s stands alone" % (what, name))
                f.close()
            ok(seen == ["demo_%d" % i for i in range(13)], what + ": shards are filled in order")
        moved = folder + "-moved"
        os.rename(folder, moved)
        f = h5py.File(os.path.join(moved, "demos.hdf5"), "r", swmr=True, libver="latest")
        ok(f["data/demo_12/actions"].shape == (ticks(12), 7), what + ": the folder may be moved")
        f.close()
        # split_train_val.py opens for writing and replaces masks
        f = h5py.File(os.path.join(moved, "demos.hdf5"), "a")
        del f["mask/train"]
        f["mask/train"] = np.array(["demo_1", "demo_2"], dtype="S")
        f.close()
        f = h5py.File(os.path.join(moved, "demos.hdf5"), "r", swmr=True, libver="latest")
        ok(len(f["mask/train"]) == 2 and len(f["data"]) == 13, what + ": masks can be replaced")
        f.close()
done()
