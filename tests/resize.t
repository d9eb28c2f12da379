#!/usr/bin/python3
"""resize.t -- the operator resize against Pillow (the same bits in u8) and PyTorch (within 1/255), and its refusals."""
import itertools
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tap
from op_oracle import Close, Refused, Runner, np

ops = Runner("ops")
rng = np.random.default_rng(5)
f4 = np.float32
try:
    from PIL import Image
except ImportError:
    Image = None
try:
    import torch
except ImportError:
    torch = None

# odd, equal, up, down, both at once, and one pixel of either
sizes = [((7, 5), (7, 5)), ((48, 64), (13, 17)), ((13, 17), (48, 64)), ((31, 9), (6, 44)), ((9, 31), (44, 6)), ((1, 1), (5, 3)),
         ((40, 30), (1, 1)), ((1, 50), (20, 7)), ((50, 1), (7, 20)), ((2, 3), (128, 127)), ((129, 131), (2, 3)), ((3, 3), (2, 4)),
         ((120, 160), (112, 149)), ((200, 90), (64, 29)), ((97, 101), (96, 100))]


def pixels(*shape):
    # extremes side by side show what is cut off at 0 and 255
    x = rng.integers(0, 256, shape)
    return np.where(rng.random(shape) < 0.3, rng.integers(0, 2, shape) * 255, x).astype(np.uint8)


def of_pillow(x, size, mode):
    if x.shape[-1] == 1:
        return np.asarray(Image.fromarray(x[..., 0]).resize(size[::-1], mode))[..., None]
    return np.asarray(Image.fromarray(x).resize(size[::-1], mode))


def is_tie(x, size, more):
    """where a nearest pixel's place is a whole number, which either side may be: oracles reach it by rounded steps"""
    ties = [[((2 * i + 1) * n if more else 2 * i * n) % (2 * m) == 0 for i in range(m)] for n, m in zip(x.shape, size)]
    return np.logical_or.outer(*map(np.array, ties))[..., None]


if Image is None:
    tap.skip("the bits of Pillow", "python3-pil is not installed")
else:
    R = Image.Resampling
    for mode, theirs in (("bilinear", R.BILINEAR), ("bicubic", R.BICUBIC), ("area", R.BOX)):
        c = Close(tap)
        for (size, to), channels in itertools.product(sizes, (1, 3, 4)):
            x = pixels(*size, channels)
            # Pillow multiplies colours by alpha first; a plane at a time it does not
            want = of_pillow(x, to, theirs) if channels < 4 else \
                np.concatenate([of_pillow(x[..., i:i + 1], to, theirs) for i in range(4)], -1)
            c.exact(ops.run("resize", x, size=to, mode=mode, antialias=True), want, f"{size} to {to}, {channels} channels")
        c.done(f"u8 {mode} with antialias has Pillow's bits")
        c = Close(tap)
        for size, to in sizes:
            x = rng.random((*size, 1)).astype(f4)
            want = np.asarray(Image.fromarray(x[..., 0]).resize(to[::-1], theirs))[..., None]
            c.see(ops.run("resize", x, size=to, mode=mode, antialias=True), want, 1e-5, f"{size} to {to}")
        c.done(f"f32 {mode} with antialias is Pillow's within 1e-5", "its sums are in f64")
    c = Close(tap)
    for size, to in sizes:
        x = pixels(*size, 3)
        got, want = ops.run("resize", x, size=to, mode="nearest"), of_pillow(x, to, R.NEAREST)
        c.exact(np.where(is_tie(x, to, True), want, got), want, f"{size} to {to}")
    c.done("u8 nearest is Pillow's NEAREST")

if torch is None:
    tap.skip("torch.nn.functional.interpolate", "python3-torch is not installed")
else:
    def of_torch(x, size, mode, **more):
        t = torch.from_numpy(x.astype(f4)).permute(2, 0, 1)[None]
        return torch.nn.functional.interpolate(t, size=list(size), mode=mode, **more)[0].permute(1, 2, 0).numpy()

    for mode, antialias in itertools.product(("bilinear", "bicubic", "area"), (False, True)):
        if mode == "area" and antialias:
            continue
        c, d = Close(tap), Close(tap)
        more = {"align_corners": False, "antialias": antialias} if mode != "area" else {}
        for size, to in sizes:
            x = pixels(*size, 3)
            want = of_torch(x, to, mode, **more)
            got = ops.run("resize", x.astype(f4), size=to, mode=mode, antialias=antialias)
            # a place on the edge of a window may fall on either side in f32, where its weight is about 0
            c.see(got, want, 0.02, f"{size} to {to}")
            x = 80 + x // 3 # u8 is cut off at 0 and 255 after rows too, as in Pillow: here nothing gets there
            eight = ops.run("resize", x, size=to, mode=mode, antialias=antialias)
            d.see(eight, np.rint(of_torch(x, to, mode, **more)), 1, f"{size} to {to}")
        name = f"{mode} {'with' if antialias else 'without'} antialias"
        c.done(f"f32 {name} is torch's within 0.02 of 255", "weights there are f32")
        d.done(f"u8 {name} is torch's within 1 of 255", "rounded twice")
    for mode, theirs, more in (("nearest", "nearest-exact", True), ("nearest_floor", "nearest", False)):
        c = Close(tap)
        for size, to in sizes:
            x = pixels(*size, 3)
            got, want = ops.run("resize", x, size=to, mode=mode), of_torch(x, to, theirs).astype(np.uint8)
            c.exact(np.where(is_tie(x, to, more), want, got), want, f"{size} to {to}")
        c.done(f"u8 {mode} is torch's {theirs}")

# ---- what neither has ----

c = Close(tap)
for mode, antialias in itertools.product(("bilinear", "bicubic", "area"), (False, True)):
    for dtype in (np.uint8, f4):
        x = pixels(2, 3, 50, 40, 7).astype(dtype)
        y = ops.run("resize", x, size=[70, 19], mode=mode, antialias=antialias)
        c.exact(y[1, 2, :, :, 3:4], ops.run("resize", np.ascontiguousarray(x[1, 2, :, :, 3:4]), size=[70, 19], mode=mode, antialias=antialias))
        flat = np.full((30, 20, 3), 77, dtype)
        c.see(ops.run("resize", flat, size=[7, 41], mode=mode, antialias=antialias), np.full((7, 41, 3), 77), 3e-5 if dtype == f4 else 0)
c.exact(ops.run("resize", pixels(0, 4, 4, 3), size=[2]), np.zeros((0, 2, 2, 3), np.uint8))
c.exact(ops.run("resize", pixels(4, 4, 0), size=[2, 3]), np.zeros((2, 3, 0), np.uint8))
c.done("each picture and channel by itself; what is even stays even; one size stands for both")

for why, code, args, more in (
        ("want u8 or f32", -3, [np.zeros((4, 4, 3), np.int32)], {"size": [2]}),
        ("want [...,H,W,C]", -2, [np.zeros((4, 4), np.uint8)], {"size": [2]}),
        ("H and W 1 to 65536", -2, [np.zeros((0, 4, 3), np.uint8)], {"size": [2]}),
        ("H and W 1 to 65536", -2, [np.zeros((4, 65537, 1), np.uint8)], {"size": [2]}),
        ("{height, width}", -1, [np.zeros((4, 4, 3), np.uint8)], {"size": [2, 2, 2]}),
        ("{height, width}", -1, [np.zeros((4, 4, 3), np.uint8)], {"size": [0, 2]}),
        ("{height, width}", -1, [np.zeros((4, 4, 3), np.uint8)], {"size": [2, 65537]}),
        ("knows none", -1, [np.zeros((4, 4, 3), np.uint8)], {"size": [2], "mode": "nearest", "antialias": True})):
    try:
        ops.run("resize", *args, **more)
        tap.ok(False, f"refused: {why}")
    except Refused as e:
        tap.ok(e.code == code and why in e.why and e.why.startswith("test/resize.0: "), f"refused: {e.why}")
tap.ok(ops.finish() == 0, "the runner ends well")
tap.done()
