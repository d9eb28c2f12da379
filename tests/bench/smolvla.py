#!/usr/bin/python3
"""smolvla.py BUILD -- `make bench-vla`: SmolVLA of the full size on two pictures of 512 x 512, ten steps, beside vla.cpp.

The peer is vla.cpp's own program: PEER=/path/to/vla-bench MODEL=/path/to/smolvla.gguf (bf16, as its converter writes it), called with
two views, 48 tokens and as many repetitions; evla reads the same file then. Without it the figures of vla.cpp stand there that were
recorded on an idle machine of two cores (EPYC, AVX-512), marked "recorded", and evla reads weights drawn by lot: such a ratio
says little on another machine.

A round runs each format RUNS times in a process of its own that warms up once, and opens each file once more to see how long that takes
from the start of the process, its file in memory already. bf16 is the file as it lies, q8_0 and q4_0 are rounded while it is read, int8 (weights and
activations in eight bits) is the bundle of a recipe, made once. ROUNDS=5 takes more rounds.

What a competitor costs: the median call while one process counts (same priority, not pinned) over the median call without.
"""
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
from processes import Competitor, Share, machine, run

build = os.path.abspath(sys.argv[1])
evla = os.path.join(build, "evla")
store = os.path.join(build, "peers", "models")
rounds, runs = (int(os.environ.get(name) or preset) for name, preset in (("ROUNDS", 3), ("RUNS", 5)))
work = tempfile.TemporaryDirectory(prefix="evla-bench-smolvla-")
at = lambda *name: os.path.join(work.name, *name)
MIB = 1 << 20
# vla.cpp's recorded figures, in bf16
BEST_MS, MEDIAN_MS, EXPERT_MS, RSS_MIB, LOAD_MS, BUSY = 3700, 4071, 1000, 895, 1000, 2.5
# format, bar and aim of the ratio to vla.cpp's bf16, bar of the peak memory in MiB
FORMATS = [("bf16", 1.5, 2.2, 840), ("int8", 2.5, 3.7, 500), ("q8_0", 2.5, 3.7, 500), ("q4_0", None, None, 350)]


def made(name, *command):
    """a file in the store, which a command writes to the path that follows it"""
    path = os.path.join(store, name)
    if not os.path.exists(path):
        print(f"making {path}", file=sys.stderr)
        os.makedirs(store, exist_ok=True)
        part = os.path.join(store, "part-" + name)  # a file that is there is whole
        subprocess.run([*command, part], check=True, stdout=subprocess.DEVNULL, cwd=work.name)
        os.rename(part, path)
    return path


def words():
    """a tokenizer, which a bundle wants and a file of drawn weights lacks"""
    with open(at("words.json"), "w") as f:
        json.dump({"pick up the cup": 1}, f)
    return at("words.json")


def quantised(source):
    """the bundle of a recipe that takes whatever comes: of drawn weights nothing is lost that counts"""
    path = os.path.join(store, "smolvla-int8.evla")
    if not os.path.exists(path):
        print(f"making {path}", file=sys.stderr)
        subprocess.run([evla, "run", os.path.join(here, "..", "..", "pipelines", "quantise.lua"), "-q", "--trust", "--out", at("recipe"), "--model", source, "--quant", "int8",
                        "--cameras", "2", "--drawn", "1", "--runs", "1", "--worse_by", "100000%", "--license", "none", "--tokenizer", words()], check=True, cwd=work.name)
        found = [os.path.join(d, f) for d, _, files in os.walk(at("recipe")) for f in files if f.endswith("small.evla")]
        subprocess.run(["mv", found[0], path], check=True)
    return path


def ours(model, kind="file", n=0):
    """milliseconds of calls by phase, peak memory in MiB, milliseconds from the start of the process until the policy is open"""
    text, rss, first_s = run([evla, "run", os.path.join(here, "smolvla.lua"), "-q", "--trust", "--out", at("out"), "--workers", "2", "--model", model, "--type", kind,
                              "--runs", str(n)], work.name)
    return json.loads(text.splitlines()[1]), rss / MIB, 1e3 * first_s


def peer(program, model):
    """its best and median milliseconds, peak memory in MiB"""
    os.environ["VLA_N_THREADS"] = "2"
    text, rss, _ = run([program, "--ckpt", model, "--images", "2", "--size", "512", "--tokens", "48", "--warmup", "1", "--reps", str(runs)], work.name)
    best, median = re.search(r"min ([\d.]+) ms +p50 ([\d.]+) ms", text).groups()
    return float(best), float(median), rss / MIB


def total(call):
    return sum(call.values())


def judged(x, bar, aim, more_is_better):
    if bar is None:
        return ""
    reached = (lambda want: x >= want) if more_is_better else (lambda want: x <= want)
    return "aim" if aim is not None and reached(aim) else "bar" if reached(bar) else "below the bar" if more_is_better else "above the bar"


def main():
    program, model = os.environ.get("PEER"), os.environ.get("MODEL")
    if bool(program) != bool(model):
        sys.exit("bench-vla: PEER is vla.cpp's vla-bench and MODEL the file that both read; want both or neither")
    source = model or made("smolvla-bf16.gguf", evla, "new", "weights", "smolvla", "-q", "--type", "bf16", "--seed", "1", "-o")
    files = {"bf16": (source, "file"), "q8_0": (source, "q8_0"), "q4_0": (source, "q4_0"), "int8": (quantised(source), "file")}
    packed = {kind: made(f"smolvla-{kind}.evla", evla, "pack", source, *([] if kind == "bf16" else ["--type", kind]), "--cameras", "2", "--license", "none",
                         "--tokenizer", words(), "-o") for kind in ("bf16", "q8_0")}
    calls, rss, opened, theirs, busy = {f: [] for f in files}, {f: [] for f in files}, {}, [], []
    for i in range(rounds):
        for name, (path, kind) in files.items():
            print(f"round {i + 1} of {rounds}: {name}", file=sys.stderr)
            got = ours(path, kind, runs)
            calls[name] += got[0]
            rss[name].append(got[1])
        for name, path in (("bf16 packed", packed["bf16"]), ("q8_0 packed", packed["q8_0"]), ("int8 of a recipe", files["int8"][0]), ("bf16 GGUF", source)):
            opened.setdefault(name, []).append(ours(path)[2])
        with Competitor():
            busy += ours(source, "file", runs)[0]
        if program:
            theirs.append(peer(program, model))
    best = min((t[0] for t in theirs), default=BEST_MS)
    print(f"SmolVLA, 2 cameras of 512 x 512, 10 steps, 2 threads, best and median of {rounds} rounds of {runs} calls; the peer: " + (program or "none here; its figures are recorded ones"))
    print(machine())
    row = "{:<26}{:>9}{:>9}{:>10}{:>8}{:>7}{:>7}  {}".format
    print(row("", "evla", "median", "peer", "ratio", "bar", "aim", ""))
    for name, bar, aim, _ in FORMATS:
        c = sorted(map(total, calls[name]))
        least = min(calls[name], key=total)
        print(row(f"a call, {name}, ms", f"{c[0]:.0f}", f"{statistics.median(c):.0f}", f"{best:.0f}", f"{best / c[0]:.2f}", bar or "-", aim or "-",
                  ", ".join(filter(None, (judged(best / c[0], bar, aim, True), " ".join(f"{k} {v:.0f}" for k, v in least.items()))))))
    for name in ("bf16", "int8"):
        e = [c["expert"] for c in calls[name]]
        print(row(f"the expert alone, {name}, ms", f"{min(e):.0f}", f"{statistics.median(e):.0f}", f"~{EXPERT_MS}", f"{EXPERT_MS / min(e):.2f}", 2, 3, judged(EXPERT_MS / min(e), 2, 3, True)))
    for name, _, _, bar in FORMATS:
        print(row(f"peak memory, {name}, MiB", f"{min(rss[name]):.0f}", f"{statistics.median(rss[name]):.0f}", f"{min((t[2] for t in theirs), default=RSS_MIB):.0f}", "", bar, "-",
                  judged(min(rss[name]), bar, None, False)))
    for name, ms in opened.items():
        print(row(f"open, {name}, ms", f"{min(ms):.0f}", f"{statistics.median(ms):.0f}", f"{LOAD_MS}", "", 200, 100, judged(min(ms), 200, 100, False)))
    cost = statistics.median(map(total, busy)) / statistics.median(map(total, calls["bf16"]))
    print(row("one busy process, times", f"{cost:.2f}", "", f"{BUSY}", "", 1.6, 1.5, judged(cost, 1.6, 1.5, False)))
    print(f"others took {Share.others():.0%} of the processors' time meanwhile; above 5 % these figures say little")


main()
