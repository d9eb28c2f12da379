"""images.py BUILD -- rows of `make bench` about pictures: resize and JPEG beside python3-pil, in turns; the best time of each counts."""
import os
import subprocess
import sys
import tempfile
import time

try:
    import numpy as np
    from PIL import Image
except ImportError:
    print("pictures: skipped, python3-pil is not installed")
    sys.exit(0)

build, turns = sys.argv[1], int(os.environ.get("BENCH_IMAGE_TURNS", "12"))
ours = subprocess.Popen([os.path.join(build, "bench/bench_resize")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                        env=dict(os.environ, EVLA_BUILD=build))


def ask(line):
    ours.stdin.write(line + "\n")
    ours.stdin.flush()
    answer = [float(v) for v in ours.stdout.readline().split()]
    if not answer:
        sys.exit(1)
    return answer


def best_ms(what):
    best = 1e9
    for _ in range(5):
        start = time.perf_counter()
        what()
        best = min(best, 1e3 * (time.perf_counter() - start))
    return best


def row(figure, measured, bar):
    print(f"{figure:<58} {measured:>14}   {bar}")


rng = np.random.default_rng(1)
y, x = np.mgrid[0:720, 0:1280]
scene = np.stack([x // 5, y // 3, (x + y) // 8], -1) + rng.integers(-20, 20, (720, 1280, 3))
picture = Image.fromarray(np.clip(scene, 0, 255).astype(np.uint8))
modes = {"bilinear": (2, Image.Resampling.BILINEAR), "bicubic": (3, Image.Resampling.BICUBIC), "area": (4, Image.Resampling.BOX)}
for name, (mode, theirs) in modes.items():
    best, pil = [1e9] * 3, 1e9
    for _ in range(turns):
        pil = min(pil, best_ms(lambda: picture.resize((224, 224), theirs)))
        best = [min(a, b) for a, b in zip(best, ask(f"{mode} 1 224 224"))]
    row(f"{name} with antialias, 1280x720 to 224x224, ms (Pillow {pil:.2f})", f"{best[0]:.3f}", "")
    row("  times as fast as Pillow, one thread", f"{pil / best[0]:.2f}", ">= 2")
    row("  two threads over 8 pictures, times as fast as one", f"{best[1] / best[2]:.2f}", ">= 1.8")
with tempfile.TemporaryDirectory(prefix="evla-images-") as work:
    path = os.path.join(work, "p.jpg")
    picture.save(path, quality=90)
    best, pil = 1e9, 1e9
    for _ in range(turns):
        pil = min(pil, best_ms(lambda: Image.open(path).load()))
        best = min(best, *ask(f"jpeg {path}"))
    row(f"a JPEG of 1280x720, quality 90, ms (Pillow {pil:.2f})", f"{best:.2f}", "")
    row("  times as fast as Pillow, by the same library", f"{pil / best:.2f}", "")
ours.stdin.close()
sys.exit(ours.wait())
