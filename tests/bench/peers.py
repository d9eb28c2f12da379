#!/usr/bin/python3
"""peers.py BUILD -- `make bench-peers`: language models beside llama.cpp on the same files, in turns, in one run.

The peer is the npm package node-llama-cpp in BUILD/peers (tests/peers.sh), or with PEER=/path/to/llama-bench that program, called as
`$PEER -m MODEL -p 512 -n 128 -t 2 -o json`. Where there is neither, and for what the peer at hand cannot say, figures stand there that
were recorded on an idle machine of two cores (EPYC, AVX-512), marked "recorded"; such a ratio says little on another machine.

Each round runs every model in evla and in the peer, each in a process of its own that first warms up: two texts of 512 random tokens
that no cache has seen, then greedy tokens behind a text of one. A sample is a text's or a run's rate. The ratio is that of the bests;
medians stand beside them. ROUNDS=5 takes more of them, ONLY=smollm2 only rows with that in their name.

What a competitor does to decoding: 61 tokens on two threads while one process counts (same priority, not pinned), the longest of
the 60 gaps over the median gap, MIXES times a round because one is luck; the median of all.
"""
import collections
import json
import os
import statistics
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
from processes import Competitor, Share, run

build = os.path.abspath(sys.argv[1])
evla = os.path.join(build, "evla")
packages = os.path.join(build, "peers")
store = os.path.join(packages, "models")
rounds = int(os.environ.get("ROUNDS") or 3)
only = os.environ.get("ONLY", "")
work = tempfile.TemporaryDirectory(prefix="evla-bench-peers-")

# model, type, what is measured, bar and aim of the ratio, recorded rate of the peer
RATES = [
    ("tinyllama", "q8_0", "pp512", 2.2, 3.0, 107), ("tinyllama", "q4_0", "pp512", 1.9, 2.6, 129), ("tinyllama", "q4_k", "pp512", 1.9, 2.6, 119),
    ("tinyllama", "bf16", "pp512", 1.3, 1.5, 143), ("smollm2-360m", "q8_0", "pp512", 2.2, 2.9, 277),
    ("tinyllama", "q4_0", "tg128", 1.25, 1.4, 48.6), ("tinyllama", "q8_0", "tg128", 1.15, 1.25, 25.7),
    ("smollm2-360m", "q4_0", "tg64", 1.1, 1.3, 119), ("smollm2-360m", "q8_0", "tg64", 1.1, 1.25, 70),
]
# key, title, whether more is better, bar, aim, recorded figure of the peer; all of TinyLlama in q4_0
OTHERS = [
    ("one", "one thread's decode as a share of two's", True, 0.75, 0.85, None),
    ("jitter", "longest over median token, one busy process", False, 1.5, 1.2, 6.3),
    ("rss", "peak memory over the file's bytes", False, 1.15, 1.05, 1.9),
    ("rss_packed", "  the same, packed", False, 1.15, 1.05, 1.9),
    ("mallocs", "allocations per token", False, 0, 0, 44),
    ("start", "start to first token, packed, warm, ms", False, 150, 60, 407),
]
# What a token costs at the roof: parameters of the layers (their products at a prompt; the head runs for its last token only), and
# those of an embedding that is read one row at a time, because the head has weights of its own.
LAYERS = {"tinyllama": 969e6, "smollm2-360m": 315e6}
LOOKED_UP = {"tinyllama": 32000 * 2048, "smollm2-360m": 0}
BYTES = {"q4_0": 18 / 32, "q4_k": 144 / 256, "q8_0": 34 / 32, "bf16": 2}
PROMPTS, MIX, MIXES = 2, ("tinyllama", "q4_0"), 5


# ---- processes ----

def ours(model, threads=2, prompts=0, tokens=2, seed=1, warm=True):
    text, rss, first_s = run([evla, "run", os.path.join(here, "peers.lua"), "-q", "--trust", "--out", os.path.join(work.name, "out"),
                             "--workers", str(threads), "--model", model, "--prompts", str(prompts), "--tokens", str(tokens),
                             "--seed", str(seed), "--warm", str(warm).lower()], work.name)
    a = json.loads(text)
    return {"prompt": [512e3 / ms for ms in a["prompt_ms"]], "token_ms": list(a["token_ms"]), "rss": rss, "mallocs": a["mallocs"], "start": first_s * 1e3}


def node(model, prompts=0, tokens=2, seed=1):
    text, rss, _ = run(["node", os.path.join(here, "peers.mjs"), packages, model, "2", str(prompts), str(tokens), str(seed)], work.name)
    a = json.loads(text)
    return {"prompt": [512e3 / ms for ms in a["prompt_ms"]], "token_ms": a["token_ms"], "rss": rss - a["own_bytes"], "start": a["start_ms"]}


def bench_program(program):
    def measured(model, prompts=0, tokens=2, seed=1):
        if not prompts:
            return {}  # it says nothing of single tokens
        text, rss, _ = run([program, "-m", model, "-p", "512", "-n", "128", "-t", "2", "-o", "json"], work.name)
        rows = json.loads(text)
        return {"prompt": [r["avg_ts"] for r in rows if not r["n_gen"]], "rate": [r["avg_ts"] for r in rows if r["n_gen"]], "rss": rss}
    return measured


def peer():
    """the peer at hand, and its name"""
    if os.environ.get("PEER"):
        return bench_program(os.environ["PEER"]), os.environ["PEER"]
    try:
        new = int(subprocess.run(["node", "-p", "process.versions.node.split('.')[0]"], capture_output=True, text=True).stdout) >= 20
    except (OSError, ValueError):
        new = False
    found = os.path.join(packages, "node_modules", "node-llama-cpp", "package.json")
    if not new or not os.path.exists(found):
        return None, "none here; its figures are recorded ones"
    with open(found) as f:
        return node, "node-llama-cpp " + json.load(f)["version"]


# ---- files ----

def weights(model, kind):
    path = os.path.join(store, f"{model}-{kind}.gguf")
    if not os.path.exists(path):
        print(f"making {path}", file=sys.stderr)
        os.makedirs(store, exist_ok=True)
        part = os.path.join(store, "part.gguf")  # a file that is there is whole
        subprocess.run([evla, "new", "weights", model, "-q", "--type", kind, "-o", part], check=True)
        os.rename(part, path)
    return path


def packed(path):
    """as this build packs it"""
    out = os.path.join(work.name, "packed.evla")
    if not os.path.exists(out):
        subprocess.run([evla, "pack", path, "-q", "-o", out], check=True)
    return out


# ---- measuring ----

def rate(sample):
    return sample.get("rate") or [1e3 * len(sample["token_ms"]) / sum(sample["token_ms"])]


def jitter(sample):
    ms = sample.get("token_ms")
    return [max(ms) / statistics.median(ms)] if ms else []


def one_round(i, rows, others, them, note):
    """note(key, side, figures) for all of the rows; side 0 is evla"""
    engines = [ours] + [them] * bool(them)
    for file in dict.fromkeys([r[:2] for r in rows] + [MIX] * bool(others)):
        print(f"round {i + 1} of {rounds}: {' '.join(file)}", file=sys.stderr)
        path = weights(*file)
        size = os.path.getsize(path)
        decodes = [r[2] for r in rows if r[:2] == file and r[2] != "pp512"]
        n_tokens = int(decodes[0][2:]) if decodes else 1
        for side, engine in enumerate(engines):
            s = engine(path, prompts=PROMPTS, tokens=n_tokens + 1, seed=1000 + i)
            note((*file, "pp512"), side, s["prompt"])
            for what in decodes:
                note((*file, what), side, rate(s))
            if file == MIX:
                note("rss", side, [s["rss"] / size])
                note("mallocs", side, [s["mallocs"]] if "mallocs" in s else [])
    if not others:
        return
    path = weights(*MIX)
    two, one = (rate(ours(path, threads=n, tokens=129))[0] for n in (2, 1))
    note("one", 0, [one / two])
    for side, engine in enumerate(engines):
        for _ in range(MIXES):
            with Competitor():
                s = engine(path, tokens=61)
            note("jitter", side, jitter(s))
    own = packed(path)
    note("rss_packed", 0, [ours(own, prompts=1)["rss"] / os.path.getsize(own)])
    for side, engine in enumerate(engines):
        s = engine(path, tokens=2) if side else ours(own, tokens=1, warm=False)
        note("start", side, [s["start"]] if "start" in s else [])


def roofs():
    """operations on 8 bits and bytes per second that two cores can do at most; None where bench_x86 cannot say"""
    try:
        text = subprocess.run([os.path.join(build, "bench", "bench_x86"), "1"], env=os.environ | {"EVLA_BUILD": build}, capture_output=True, check=True).stdout
        x = json.loads(text)
        return 2e9 * x["int8_peak_gops"] or None, 1e9 * x["row_2"]["read_gbs"]
    except (OSError, subprocess.CalledProcessError, KeyError):
        return None, None


def share_of_roof(model, kind, what, figure, peak, bandwidth):
    if what == "pp512":
        return f"{2 * LAYERS[model] * figure / peak:.0%} of the 8-bit peak" if peak and kind != "bf16" else ""
    size = os.path.getsize(weights(model, kind)) - LOOKED_UP[model] * BYTES[kind]
    return f"{size * figure / bandwidth:.0%} of the bandwidth" if bandwidth else ""


# ---- the table ----

def cells(*texts):
    print(f"{texts[0]:<47}" + "".join(f"{t:>10}" for t in texts[1:8]) + "".join(f"  {t}" for t in texts[8:] if t))


def number(x):
    return "-" if x is None else f"{x:.3g}" if x < 1000 else f"{x:.0f}"


def verdict(x, more_is_better, bar, aim):
    good = (lambda want: x >= want) if more_is_better else (lambda want: x <= want)
    return "aim" if good(aim) else "bar" if good(bar) else "below the bar" if more_is_better else "above the bar"


def show(rows, others, got, peak, bandwidth):
    cells("", "evla", "median", "peer", "median", "ratio", "bar", "aim")
    for model, kind, what, bar, aim, recorded in rows:
        mine, their = got[(model, kind, what)]
        best = max(mine), max(their, default=recorded)
        cells(f"{model} {kind} {what}, tokens/s", number(best[0]), number(statistics.median(mine)), number(best[1]),
              number(statistics.median(their)) if their else "recorded", f"{best[0] / best[1]:.2f}", number(bar), number(aim),
              verdict(best[0] / best[1], True, bar, aim), share_of_roof(model, kind, what, best[0], peak, bandwidth))
    for key, title, more, bar, aim, recorded in others:
        mine, their = got[key][0], got["rss" if key == "rss_packed" else key][1]
        pick = max if more else min
        figure = statistics.median(mine) if key == "jitter" else pick(mine)
        their_figure = (statistics.median(their) if key == "jitter" else pick(their)) if their else recorded
        cells(title, number(figure), number(statistics.median(mine)), number(their_figure),
              number(statistics.median(their)) if their else "recorded" if recorded else "-", "", number(bar), number(aim), verdict(figure, more, bar, aim))


def main():
    rows = [r for r in RATES if only in " ".join(r[:3])]
    others = [r for r in OTHERS if only in r[1]]
    them, name = peer()
    for file in dict.fromkeys([r[:2] for r in rows] + [MIX] * bool(others)):
        weights(*file)
    peak, bandwidth = roofs()
    got = collections.defaultdict(lambda: ([], []))
    for i in range(rounds):
        one_round(i, rows, others, them, lambda key, side, figures: got[key][side].extend(figures))
    print(f"two threads; best and median of {rounds} rounds, in turns; the peer: {name}")
    show(rows, others, got, peak, bandwidth)
    if bandwidth:
        print(f"two cores read {bandwidth * 1e-9:.1f} GB/s" + (f" and do {peak * 1e-12:.2f} T operations on 8 bits a second" if peak else ""))
    print(f"others took {Share.others():.0%} of the processors' time meanwhile; above 5 % these figures say little")


main()
