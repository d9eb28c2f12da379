#!/usr/bin/python3
"""image.t -- what models/image.lua prepares against Pillow and PyTorch doing what the models' own code does, cameras by the batch."""
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tap
from bundle import bundle
from op_oracle import np

build = os.path.abspath(os.environ.get("EVLA_BUILD", "build"))
evla = os.path.join(build, "evla")
tap.need(evla, os.path.join(build, "plugins/ops.so"))
try:
    from PIL import Image
except ImportError:
    print("1..0 # SKIP python3-pil is not installed")
    sys.exit(0)
try:
    import torch
    import torch.nn.functional as F
except ImportError:
    torch = None

NORMS = {"imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
         "imagenet_bf16": ((0.484375, 0.455078125, 0.40625), (0.228515625, 0.2236328125, 0.224609375)),
         "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
         "siglip": ((0.5,) * 3, (0.5,) * 3), "none": ((0,) * 3, (1,) * 3)}
BICUBIC = Image.Resampling.BICUBIC


def normalised(x, norm):
    mean, std = (np.array(v, np.float64) for v in NORMS[norm])
    return np.moveaxis((x / 255.0 - mean) / std, -1, -3)


def resized(x, height, width, how=BICUBIC):
    return np.asarray(Image.fromarray(x).resize((width, height), how))


def with_pad(x, height, width):
    """lerobot's resize_with_pad and the step to [-1, 1] behind it"""
    img = torch.from_numpy(x.copy()).permute(2, 0, 1)[None].float() / 255
    h, w = img.shape[2:]
    ratio = max(w / width, h / height)
    small = F.interpolate(img, size=(int(h / ratio), int(w / ratio)), mode="bilinear", align_corners=False)
    left, top = max(0, int(width - small.shape[3])), max(0, int(height - small.shape[2]))
    return (F.pad(small, (left, 0, top, 0), value=0) * 2 - 1)[0].numpy()


def square(x, colour):
    """expand2square of LLaVA and MobileVLM"""
    im = Image.fromarray(x)
    w, h = im.size
    if w == h:
        return x
    out = Image.new("RGB", (max(w, h),) * 2, colour)
    out.paste(im, (0, (w - h) // 2) if w > h else ((h - w) // 2, 0))
    return np.asarray(out)


def shortest(x, n):
    h, w = x.shape[:2]
    return resized(x, n, int(n * w / h)) if h <= w else resized(x, int(n * h / w), n)


def crop(x, height, width):
    top, left = (x.shape[0] - height) // 2, (x.shape[1] - width) // 2
    return x[top:top + height, left:left + width]


def crop_area(x, share):
    """the places that tf.image.crop_and_resize takes, by another library; OpenVLA reads them as u8"""
    img, side = torch.from_numpy(x.copy()).permute(2, 0, 1)[None].double(), share ** 0.5
    grid = F.affine_grid(torch.tensor([[[side, 0, 0], [0, side, 0]]]).double(), img.shape, align_corners=True)
    out = F.grid_sample(img, grid, mode="bilinear", align_corners=True)[0].permute(1, 2, 0)
    return out.numpy()


def framed(x, height, width, colour):
    out = np.empty((height, width, 3), np.uint8)
    out[:] = colour
    top, left = (height - x.shape[0]) // 2, (width - x.shape[1]) // 2
    out[top:top + x.shape[0], left:left + x.shape[1]] = x
    return out


grey = "{ 122, 116, 104 }"
cases = [  # shape, what the model file says, what the models' own code does, how far off it may be
    ("2, 48, 64", ":resize_with_pad(51, 51):normalise 'siglip'", lambda x: with_pad(x, 51, 51), 2e-5),
    ("64, 47", ":resize_with_pad(33, 40):normalise 'siglip'", lambda x: with_pad(x, 33, 40), 2e-5),
    ("20, 30", ":resize_with_pad(60, 60):normalise 'siglip'", lambda x: with_pad(x, 60, 60), 2e-5),
    ("40, 40", ":resize_with_pad(40, 40):normalise 'siglip'", lambda x: with_pad(x, 40, 40), 2e-5),
    ("48, 64", ":resize(28, 28):normalise 'imagenet_bf16'", lambda x: normalised(resized(x, 28, 28), "imagenet_bf16"), 2e-6),
    ("3, 48, 64", ":resize(56, 42):normalise 'siglip'", lambda x: normalised(resized(x, 56, 42), "siglip"), 2e-6),
    ("48, 64", f":square {grey}:shortest_edge(33):crop(33, 33):normalise 'clip'",
     lambda x: normalised(crop(shortest(square(x, (122, 116, 104)), 33), 33, 33), "clip"), 2e-6),
    ("2, 65, 48", f":square {grey}:resize(16, 16):normalise 'clip'",
     lambda x: normalised(resized(square(x, (122, 116, 104)), 16, 16), "clip"), 2e-6),
    ("31, 50", ":shortest_edge(24):crop(24, 24):normalise 'imagenet'", lambda x: normalised(crop(shortest(x, 24), 24, 24), "imagenet"), 2e-6),
    ("50, 31", ":shortest_edge(24):crop(23, 21):normalise 'imagenet'", lambda x: normalised(crop(shortest(x, 24), 23, 21), "imagenet"), 2e-6),
    ("2, 40, 37", ":real():crop_area(0.9):normalise 'siglip'", lambda x: normalised(crop_area(x, 0.9), "siglip"), 2e-5),
    ("2, 9", ":real():crop_area(0.3):normalise 'none'", lambda x: normalised(crop_area(x, 0.3), "none"), 2e-5),
    ("30, 2", ":real():crop_area(1):normalise 'none'", lambda x: normalised(crop_area(x, 1), "none"), 2e-5),
    ("40, 31", ":crop_area(0.9):normalise 'none'", lambda x: np.floor(crop_area(x, 0.9) / 255 * 255.5).transpose(2, 0, 1) / 255, 1e-5),
    ("20, 31", ":pad(25, 40, { 1, 2, 250 }):normalise 'none'", lambda x: normalised(framed(x, 25, 40, (1, 2, 250)), "none"), 2e-6),
    ("2, 20, 31", ":pad(25, 40):normalise 'none'", lambda x: normalised(framed(x, 25, 40, (0, 0, 0)), "none"), 2e-6),
    ("20, 31", ":real():pad(21, 32, { 9, 8, 7 }):normalise 'none'", lambda x: normalised(framed(x, 21, 32, (9, 8, 7)), "none"), 2e-6),
    ("20, 31", ":resize(10, 77, { mode = 'nearest' }):normalise { mean = { 0.5, 0.5, 0.5 }, std = { 0.5, 0.5, 0.5 } }",
     lambda x: normalised(resized(x, 10, 77, Image.Resampling.NEAREST), "siglip"), 2e-6),
]
wrong = [  # what is said, words of the answer
    ("image.of(g, x, { 4 })", "image: want a shape such as { 480, 640 } or { 2, 480, 640 }"),
    ("image.of(g, x, { 4.5, 4 })", "image: shape: want height and width, got 4.5 and 4"),
    ("p:resize(0, 4)", "image: resize: want height and width, got 0 and 4"),
    ("p:crop(9, 4)", "do not lie in 4 x 6"),
    ("p:crop_area(1.5)", "want a share of 0 to 1, got 1.5"),
    ("p:pad(3, 9)", "4 x 6 pixels are more than wanted"),
    ("p:square { 1, 2 }", "want a colour { red, green, blue }"),
    ("p:normalise 'imagnet'", "want one of clip, imagenet, imagenet_bf16, none, siglip, or { mean = ..., std = ... }, got imagnet"),
]

with tempfile.TemporaryDirectory(prefix="evla-image-") as work:
    # integers come as zeros, so pictures are made of reals in [-1, 1)
    model = 'local image = require "image"\nreturn { options = {}, graphs = function() return {\n'
    for i, (shape, said, _, _) in enumerate(cases):
        model += f'''  g{i} = function(g)
    local x = g.cast {{ g.add {{ g.mul {{ g:input("x", "f32[{shape},3]"), 127.5 }}, 127.5 }}, to = "u8" }}
    g:output("x", x)
    g:output("y", image.of(g, x, {{ {shape} }}){said})
  end,\n'''
    model += '''  bad = function(g)
    local p = image.input(g, "x", { 4, 6 })
    local x = p.wire
'''
    for said, _ in wrong:
        model += f'    print(select(2, pcall(function() return {said} end)))\n'
    model += '    g:output("y", p.wire)\n  end } end }\n'
    os.makedirs(os.path.join(work, "models"))
    with open(os.path.join(work, "models/prepared.lua"), "w") as f:
        f.write(model)
    with open(os.path.join(work, "p.lua"), "w") as f:
        f.write('local evla = require "evla"\nlocal m = evla.model "prepared" {}\nlocal jobs = { m }\n'
                + "".join(f'jobs[#jobs + 1] = evla.apply "g{i}" {{ model = m, graph = "g{i}", runs = 1 }}\n' for i in range(len(cases)))
                + "return evla.program(jobs)\n")
    run = subprocess.run([evla, "run", os.path.join(work, "p.lua"), "--out", work], capture_output=True, text=True, timeout=120)
    tap.ok(run.returncode == 0, "the programs run", run.stdout + run.stderr)
    for i, (shape, said, theirs, bound) in enumerate(cases):
        title = f"[{shape}]{said}"
        if torch is None and ("with_pad" in said or "crop_area" in said):
            tap.skip(title, "python3-torch is not installed")
            continue
        io = bundle(os.path.join(work, f"p/g{i}/outputs.evla"))[1]
        x, y = io["o:x"], io["o:y"]
        want = np.stack([theirs(one) for one in x]) if x.ndim == 4 else theirs(x)
        far = np.abs(y - want).max() if y.shape == want.shape else f"shape {y.shape}, not {want.shape}"
        tap.ok(isinstance(far, np.floating) and far <= bound, f"{title} is what its own code makes, within {bound:g}", far)
    for said, answer in wrong:
        tap.ok(answer in run.stdout, f"refused: {said}: {answer}", run.stdout[:2000])
tap.done()
