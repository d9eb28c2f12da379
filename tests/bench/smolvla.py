#!/usr/bin/python3
"""smolvla.py BUILD -- `make bench-vla`: SmolVLA of the full size on two pictures of 512 x 512, ten steps, beside vla.cpp.

The peer is vla.cpp's own program: PEER=/path/to/vla-bench, called with two views, 48 tokens and as many repetitions. Both read one file in
bf16: weights drawn by lot as vla.cpp's converter would write them, or MODEL=/path/to/smolvla.gguf. Without a peer its figures stand there
that were recorded on an idle machine of two cores (EPYC, AVX-512 with vdpbf16ps), marked "recorded": such a ratio says little on another
machine.

A round runs each format RUNS times in a process of its own that warms up once, and opens each file once more to see how long that takes
from the start of the process, its file in memory already. bf16 is the file as it lies, q8_0 and q4_0 are rounded while it is read, int8 (weights and
activations in eight bits) is the bundle of a recipe, made once. The peer's turn is next to that of bf16. ROUNDS=5 takes more rounds.

Of the peer's call only vision is told apart. Its expert alone is what remains times 1000/1287, as its own timing mode splits that on the
machine above; to open is what its process takes beside a single call, its file in memory already.

What a competitor costs: the median call while one process counts (same priority, not pinned) over the median call without; of the peer,
which waits by spinning and can take half a minute for a call then, over BUSY_RUNS calls a round.
"""
import hashlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
from processes import Competitor, Share, machine, run

build = os.path.abspath(sys.argv[1])
evla = os.path.join(build, "evla")
store = os.path.join(build, "peers", "models")
rounds, runs, busy_runs = (int(os.environ.get(name) or preset) for name, preset in (("ROUNDS", 3), ("RUNS", 5), ("BUSY_RUNS", 2)))
work = tempfile.TemporaryDirectory(prefix="evla-bench-smolvla-")
at = lambda *name: os.path.join(work.name, *name)
MIB = 1 << 20
# vla.cpp's recorded figures, in bf16
BEST_MS, EXPERT_MS, RSS_MIB, LOAD_MS, BUSY = 3700, 1000, 895, 1000, 2.5
EXPERT_SHARE = 1000 / 1287  # of what its call takes behind vision
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


def name_of(source):
    """of what is made from a file: another file, another name"""
    was = os.stat(source)
    mark = hashlib.sha256(f"{os.path.realpath(source)} {was.st_size} {was.st_mtime_ns}".encode()).hexdigest()[:8]
    return f"{os.path.splitext(os.path.basename(source))[0]}-{mark}"


def quantised(source):
    """the bundle of a recipe that takes whatever comes: of drawn weights nothing is lost that counts"""
    path = os.path.join(store, name_of(source) + "-int8.evla")
    if not os.path.exists(path):
        print(f"making {path}", file=sys.stderr)
        os.makedirs(store, exist_ok=True)
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


def peer(program, model, warmup, reps):
    """the best and median milliseconds of its calls, vision's mean among them, its peak memory in MiB, and the whole process's milliseconds"""
    os.environ["VLA_N_THREADS"] = "2"
    began = time.monotonic()
    text, rss, _ = run([program, "--ckpt", model, "--images", "2", "--size", "512", "--tokens", "48", "--warmup", str(warmup), "--reps", str(reps)], work.name)
    whole = 1e3 * (time.monotonic() - began)
    said = re.search(r"min ([\d.]+) ms +p50 ([\d.]+) ms.* vision ([\d.]+) ms", text)
    if not said:
        sys.exit(f"bench-vla: {program} does not say how long its calls took\n{text[-800:]}")
    return (*map(float, said.groups()), rss / MIB, whole)


def total(call):
    return sum(call.values())


def judged(x, bar, aim, more_is_better):
    if bar is None:
        return ""
    reached = (lambda want: x >= want) if more_is_better else (lambda want: x <= want)
    return "aim" if aim is not None and reached(aim) else "bar" if reached(bar) else "below the bar" if more_is_better else "above the bar"


def main():
    program, model = (os.path.abspath(path) if path else None for path in map(os.environ.get, ("PEER", "MODEL")))
    for path in filter(None, (program, model)):
        if not os.path.exists(path):
            sys.exit(f"bench-vla: {path} is not there; PEER is vla.cpp's vla-bench, and MODEL a SmolVLA in GGUF that both read")
    source = model or made("smolvla-drawn-bf16.gguf", evla, "new", "weights", "smolvla", "-q", "--type", "bf16", "--seed", "1", "-o")
    files = {"bf16": (source, "file"), "q8_0": (source, "q8_0"), "q4_0": (source, "q4_0"), "int8": (quantised(source), "file")}
    packed = {kind: made(f"{name_of(source)}-{kind}.evla", evla, "pack", source, *([] if kind == "bf16" else ["--type", kind]), "--cameras", "2", "--license", "none",
                         "--tokenizer", words(), "-o") for kind in ("bf16", "q8_0")}
    calls, rss, opened, busy = {f: [] for f in files}, {f: [] for f in files}, {}, []
    theirs, their_busy, their_open = [], [], []
    for i in range(rounds):
        for name, (path, kind) in files.items():
            print(f"round {i + 1} of {rounds}: {name}", file=sys.stderr)
            got = ours(path, kind, runs)
            calls[name] += got[0]
            rss[name].append(got[1])
            if program and name == "bf16":
                print(f"round {i + 1} of {rounds}: the peer", file=sys.stderr)
                theirs.append(peer(program, source, 1, runs))
                alone = peer(program, source, 0, 1)
                their_open.append(alone[4] - alone[0])
        for name, path in (("bf16 packed", packed["bf16"]), ("q8_0 packed", packed["q8_0"]), ("int8 of a recipe", files["int8"][0]), ("bf16 GGUF", source)):
            opened.setdefault(name, []).append(ours(path)[2])
        print(f"round {i + 1} of {rounds}: beside a busy process", file=sys.stderr)
        with Competitor():
            busy += ours(source, "file", runs)[0]
        if program:
            with Competitor():
                their_busy.append(peer(program, source, 1, busy_runs)[1])
    best, expert, load, most = (min(t[0] for t in theirs), min(t[1] - t[2] for t in theirs) * EXPERT_SHARE, min(their_open), min(t[3] for t in theirs)) if theirs else (
        BEST_MS, EXPERT_MS, LOAD_MS, RSS_MIB)
    median = f", median {statistics.median(t[1] for t in theirs):.0f} ms, vision {min(t[2] for t in theirs):.0f} ms" if theirs else ""
    beside = statistics.median(their_busy) / statistics.median(t[1] for t in theirs) if theirs else BUSY
    print(f"SmolVLA, 2 cameras of 512 x 512, 10 steps, 2 threads, best and median of {rounds} rounds of {runs} calls; the peer: " +
          (program + median if program else "none here; its figures are recorded ones"))
    print(machine())
    row = "{:<26}{:>9}{:>9}{:>10}{:>8}{:>7}{:>7}  {}".format
    print(row("", "evla", "median", "peer" if theirs else "recorded", "ratio", "bar", "aim", ""))
    for name, bar, aim, _ in FORMATS:
        c = sorted(map(total, calls[name]))
        least = min(calls[name], key=total)
        print(row(f"a call, {name}, ms", f"{c[0]:.0f}", f"{statistics.median(c):.0f}", f"{best:.0f}", f"{best / c[0]:.2f}", bar or "-", aim or "-",
                  ", ".join(filter(None, (judged(best / c[0], bar, aim, True), " ".join(f"{k} {v:.0f}" for k, v in least.items()))))))
    for name in ("bf16", "int8"):
        e = [c["expert"] for c in calls[name]]
        print(row(f"the expert alone, {name}, ms", f"{min(e):.0f}", f"{statistics.median(e):.0f}", f"~{expert:.0f}", f"{expert / min(e):.2f}", 2, 3, judged(expert / min(e), 2, 3, True)))
    for name, _, _, bar in FORMATS:
        print(row(f"peak memory, {name}, MiB", f"{min(rss[name]):.0f}", f"{statistics.median(rss[name]):.0f}", f"{most:.0f}", "", bar, "-",
                  judged(min(rss[name]), bar, None, False)))
    for name, ms in opened.items():
        print(row(f"open, {name}, ms", f"{min(ms):.0f}", f"{statistics.median(ms):.0f}", f"{load:.0f}", "", 200, 100, judged(min(ms), 200, 100, False)))
    cost = statistics.median(map(total, busy)) / statistics.median(map(total, calls["bf16"]))
    print(row("one busy process, times", f"{cost:.2f}", "", f"{beside:.2f}", "", 1.6, 1.5, judged(cost, 1.6, 1.5, False)))
    print(f"others took {Share.others():.0%} of the processors' time meanwhile; above 5 % these figures say little")


main()
