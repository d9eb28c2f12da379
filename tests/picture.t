#!/usr/bin/python3
"""picture.t -- evla.picture against Pillow: JPEG and PNG of every sort are the same pixels; and files that are no whole picture."""
import io
import json
import os
import struct
import subprocess
import sys
import tempfile
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tap
from op_oracle import np

build = os.path.abspath(os.environ.get("EVLA_BUILD", "build"))
tap.need(os.path.join(build, "evla"), os.path.join(build, "plugins/image.so"))
try:
    from PIL import Image, ImageOps
except ImportError:
    print("1..0 # SKIP python3-pil is not installed")
    sys.exit(0)

rng = np.random.default_rng(3)
W, H = 45, 34
y, x = np.mgrid[0:H, 0:W]
smooth = np.stack([5 * x, 7 * y, 3 * (x + y)], -1).astype(np.uint8)
noise = rng.integers(0, 256, (H, W, 4)).astype(np.uint8)
rgb, rgba, grey = Image.fromarray(smooth), Image.fromarray(noise), Image.fromarray(smooth[..., 0])
cases = []  # title, file, options, pixels or words of the sentence

ASK = """
local evla, json = require "evla", require "evla.json"
local f = io.open "asked.json"
local asked = json.decode(f:read "a")
f:close()
for _, a in ipairs(asked) do
  local ok, t = pcall(evla.picture, a.file, a.options)
  print(json.encode(ok and { shape = t.shape, dtype = t.dtype, pixels = t:list() } or { why = tostring(t) }))
end
return evla.program {}
"""


def coded(picture, form, **how):
    out = io.BytesIO()
    picture.save(out, form, **how)
    return out.getvalue()


def ask(title, data, want=None, **options):
    """want None: what Pillow sees"""
    if want is None:
        want = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    cases.append((title, data, options, want))


def exif(turn, order="<", long=False):
    entries = [(0x10f, 2, 4, b"abc\0"), (0x112, 4, 1, struct.pack(order + "I", turn)) if long else (0x112, 3, 1, struct.pack(order + "HH", turn, 0))]
    tiff = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(entries))
    return b"Exif\0\0" + tiff + b"".join(struct.pack(order + "HHI", *e[:3]) + e[3] for e in entries) + bytes(4)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, colour, rows, *chunks, interlace=0):
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(chunks) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def over(picture, colour):
    """what Pillow shows of a picture with alpha before a colour"""
    picture = picture.convert("RGBA")
    back = Image.new("RGB", picture.size, colour)
    back.paste(picture, mask=picture.getchannel("A"))
    return np.asarray(back)


# ---- JPEG ----

baseline, progressive = coded(rgb, "JPEG", quality=90), coded(rgb, "JPEG", progressive=True)
ask("a JPEG", baseline)
ask("a JPEG of noise", coded(rgba.convert("RGB"), "JPEG"))
ask("a JPEG with all its colours", coded(rgb, "JPEG", quality=95, subsampling=0))
ask("a progressive JPEG", progressive)
ask("a grey JPEG", coded(grey, "JPEG"))
inks = coded(Image.fromarray(noise, "CMYK"), "JPEG", quality=95)
ask("a CMYK JPEG", inks)
adobe = inks.index(b"\xff\xee")
ask("a CMYK JPEG without Adobe's marker", inks[:adobe] + inks[adobe + 2 + int.from_bytes(inks[adobe + 2:adobe + 4], "big"):])
ask("a JPEG of one pixel", coded(Image.fromarray(smooth[:1, :1]), "JPEG"))
for turn in range(1, 9):
    ask(f"a JPEG with orientation {turn}", coded(rgb, "JPEG", exif=exif(turn)))
    ask(f"the same, the first byte counts most, in a PNG", coded(rgb, "PNG", exif=exif(turn, ">")))
for order in "<>":
    ask(f"a JPEG whose orientation has four bytes, {order}", coded(rgb, "JPEG", exif=exif(6, order, long=True)))
once, second = coded(rgb, "JPEG", exif=exif(6)), exif(3)
behind_first = once.index(b"Exif") - 2
behind_first += struct.unpack(">H", once[behind_first:behind_first + 2])[0]
ask("a JPEG of two EXIF headers, of which the first counts",
    once[:behind_first] + b"\xff\xe1" + struct.pack(">H", 2 + len(second)) + second + once[behind_first:])
as_it_lies = np.asarray(Image.open(io.BytesIO(baseline)))
ask("a JPEG with an orientation that there is not", coded(rgb, "JPEG", quality=90, exif=exif(9)), as_it_lies)
ask("a JPEG whose EXIF header ends early", coded(rgb, "JPEG", quality=90, exif=exif(6)[:20]), as_it_lies)

# ---- PNG ----

ask("a PNG", coded(rgb, "PNG"))
ask("a grey PNG", coded(grey, "PNG"))
ask("a PNG of black and white", coded(grey.convert("1"), "PNG"))
for colours in (2, 4, 16, 200):
    ask(f"a PNG with a palette of {colours}", coded(rgb.quantize(colours), "PNG"))
for colour in ((255, 255, 255), (122, 116, 104)):
    title = f"before {colour}"
    more = {} if colour == (255, 255, 255) else {"behind": list(colour)}
    ask(f"a PNG with transparency {title}", coded(rgba, "PNG"), over(rgba, colour), **more)
    ask(f"a grey PNG with transparency {title}", coded(rgba.convert("LA"), "PNG"), over(rgba.convert("LA"), colour), **more)
    seen = rgb.quantize(16)
    shown = coded(seen, "PNG", transparency=3)
    ask(f"a PNG whose palette has a hole {title}", shown, over(Image.open(io.BytesIO(shown)), colour), **more)
turned = coded(rgba, "PNG", exif=exif(6))
upright = coded(rgb, "PNG")
late = upright[:-12] + chunk(b"eXIf", exif(6, ">")[6:]) + upright[-12:]
ask("a PNG that says behind its pixels how it is turned", late)
ask("a PNG whose EXIF header is not what its sum says", late[:-14] + bytes([late[-14] ^ 1]) + late[-13:], smooth)
ask("a PNG with transparency, turned", turned, over(ImageOps.exif_transpose(Image.open(io.BytesIO(turned))), (255, 255, 255)))
deep = rng.integers(0, 65536, (9, 7, 3)).astype(">u2")
plain = b"".join(b"\0" + row.tobytes() for row in deep)
ask("a PNG of 16 bits keeps the upper half", png(7, 9, 16, 2, plain), (deep >> 8).astype(np.uint8))
plain = b"".join(b"\0" + row.tobytes() for row in deep[..., 0].copy())
ask("a grey PNG of 16 bits", png(7, 9, 16, 0, plain), np.repeat((deep[..., :1] >> 8).astype(np.uint8), 3, 2))
wide = rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)
adam = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
rows = b"".join(b"\0" + row.tobytes() for a, b, c, d in adam for row in wide[a::c, b::d])
ask("an interlaced PNG", png(8, 8, 8, 2, rows, interlace=1), wide)

# ---- no whole pictures ----

whole = coded(rgba, "PNG")
for part in (0.02, 0.3, 0.7, 0.98):
    for name, data in (("JPEG", baseline), ("progressive JPEG", progressive), ("PNG", whole)):
        ask(f"the first {part:.0%} of a {name}", data[:int(len(data) * part)], "no whole " + name[-4:].strip() + " picture")
ask("a JPEG without its end mark", baseline[:-2], "no whole JPEG picture: Premature end")
ask("a PNG without its end mark", whole[:-12], "no whole PNG picture: the file ends too early")
frame = baseline.index(b"\xff\xc0")
ask("a JPEG that says it is larger", baseline[:frame + 5] + struct.pack(">HH", 400, 500) + baseline[frame + 9:], "no whole JPEG picture")
for name, size in (("lower", (H // 2, W)), ("narrower", (H, W // 2))):
    ask(f"a JPEG that says it is {name}", baseline[:frame + 5] + struct.pack(">HH", *size) + baseline[frame + 9:],
        "no whole JPEG picture: Corrupt JPEG data: ")
ask("a camera's JPEG with some bytes before its end mark", baseline[:-2] + bytes(8) + baseline[-2:], as_it_lies)
ask("a JPEG that says it is huge", baseline[:frame + 5] + b"\xff\xdc\xff\xdc" + baseline[frame + 9:],
    "says that it is 65500 x 65500 pixels; want 1 to 67108864 of them")
ask("a JPEG of no height", baseline[:frame + 5] + b"\0\0" + baseline[frame + 7:], "no whole JPEG picture")
ask("a PNG that says it is larger", png(70, 90, 16, 2, plain), "no whole PNG picture")
ask("a PNG that says it is huge", png(10 ** 6, 10 ** 5, 8, 2, b""), "says that it is 1000000 x 100000 pixels; want 1 to 67108864 of them")
ask("a PNG of more pixels than there are numbers", png(2 ** 31 - 1, 2 ** 31 - 1, 8, 2, b""), "no whole PNG picture")
ask("a PNG whose pixels are not what its sum says", whole[:200] + bytes([whole[200] ^ 1]) + whole[201:], "no whole PNG picture")
ask("broken codes in a JPEG", baseline[:-300] + bytes(300), "no whole JPEG picture")
ask("a text", b"once upon a time", "is no picture of a known format; want one of: jpeg, png")
ask("nothing", b"", "is no picture of a known format")
ask("a picture of more pixels than wanted", baseline, f"says that it is {W} x {H} pixels; want 1 to 1000 of them", pixels=1000)
ask("a colour of two numbers", baseline, "want {red, green, blue}", behind=[1, 2])
ask("a colour beyond 255", baseline, "255", behind=[1, 2, 256])
ask("an unknown option", baseline, "behind", behnd=[1, 2, 3])

with tempfile.TemporaryDirectory(prefix="evla-picture-") as work:
    asked = []
    for i, (_, data, options, _) in enumerate(cases):
        asked.append({"file": f"{i}", "options": options})
        with open(os.path.join(work, f"{i}"), "wb") as f:
            f.write(data)
    asked += [{"file": "nowhere.jpg", "options": {}}, {"file": "/etc/passwd", "options": {}}, {"file": ".", "options": {}}]
    cases += [("a file that is not there", 0, 0, "nowhere.jpg"), ("a file elsewhere", 0, 0, "/etc/passwd"), ("a folder", 0, 0, "want a file")]
    with open(os.path.join(work, "asked.json"), "w") as f:
        json.dump(asked, f)
    with open(os.path.join(work, "ask.lua"), "w") as f:
        f.write(ASK)
    run = subprocess.run([os.path.join(build, "evla"), "check", os.path.join(work, "ask.lua")], capture_output=True, text=True, timeout=120)
    answers = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    tap.ok(len(answers) == len(cases), "every question is answered", run.stdout[-500:] + run.stderr)
    for (title, _, _, want), got in zip(cases, answers):
        if isinstance(want, str):
            why = got.get("why", "it was read")
            tap.ok(want in why and "\n" not in why, f"refused: {title}: {why.replace(work + '/', '')}", f"want: {want}")
        elif "why" in got:
            tap.ok(False, title, got["why"])
        else:
            have = np.array(got["pixels"], np.uint8).reshape(got["shape"])
            far = np.abs(have.astype(int) - want).max() if have.shape == want.shape else f"shape {have.shape}, not {want.shape}"
            tap.ok(far == 0 and got["dtype"] == "u8", f"{title} is the same pixels", far)
tap.done()
