#!/usr/bin/python3
"""report.t -- the report of a training, a recipe and rollouts, made from small samples of what these jobs write.

Oracles: an XML parser for every picture, arithmetic for where bars and whiskers end, Chromium for the page."""
import base64
import json
import math
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from xml.etree import ElementTree
from tap import done, ok, skip

here = os.path.dirname(os.path.abspath(__file__))
build = os.path.abspath(os.environ.get("EVLA_BUILD", os.path.join(here, "..", "build")))
evla = os.path.join(build, "evla")


def png(path, hue, size=48):
    rows = b"".join(b"\0" + bytes(v for x in range(size) for v in ((hue * 40 + x * 3) % 256, (y * 4) % 256, 120)) for y in range(size))

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def bounds(k, n):
    """near enough to an exact interval for a sample"""
    p, s = k / n, 1.96 * math.sqrt(max(k * (n - k), n) / n ** 3)
    return {"lo": max(0, p - s), "hi": min(1, p + s)}


def write(path, v):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        json.dump(v, f)


# ---- samples ----

rng = random.Random(5)
GOALS = ["brew_red_green", "brew_blue_orange", "serve_red", "clear_blue", "open_lid"]
RULES = ["grip_needs_contact", "joint_velocity", "lid_needs_pod", "keep_out"]
NODES = ["gripper", "table", "machine", "lid", "holder", "tray", "red_mug", "blue_mug", "green_pod", "orange_pod", "coaster"]


def scene(step):
    on = [["on", NODES.index(n), 1] for n in ("red_mug", "blue_mug", "green_pod", "orange_pod", "machine") if not (step > 2 and n == "red_mug")]
    more = [["near", 0, 6], ["near", 6, 0]] if step == 1 else [["held", 6, 0], ["contact", 0, 6], ["contact", 6, 0]] if 2 <= step < 5 else \
        [["on", 6, 5], ["in", 8, 4]] if step >= 5 else []
    return {"nodes": [{"name": n, "class": "object", "pose": [0.1 * i, 0, 0.4, 1, 0, 0, 0]} for i, n in enumerate(NODES)], "relations": on + more}


def film(folder, episode, why, n=8):
    frames = []
    for k in range(n):
        name = "film_%d_%d.png" % (episode, k)
        png(os.path.join(folder, name), episode + k)
        kind = "veto" if why == "veto" and k in (3, 4) else "replace" if why == "veto" and k == 5 else "allow"
        frames.append({"tick": 120 * k, "seconds": 1.2 * k, "picture": name, "scene": scene(k),
                       "verdict": {"kind": kind, "rule": "" if kind == "allow" else "grip_needs_contact", "why": "" if kind == "allow" else "the fingers touch nothing <that> is held"}})
    return {"episode": episode, "why": why, "instruction": "put the \"red\" mug under the spout & close the lid", "ticks": 120 * n, "frames": frames}


def rollout(name, n, success, unsafe, guard, wall=False):
    folder = os.path.join(out, name)
    os.makedirs(folder, exist_ok=True)
    episodes, per_goal, count = [], {}, {}
    for i in range(n):
        goal = GOALS[i % len(GOALS)]
        good, bad = rng.random() < success, rng.random() < unsafe
        spans = []
        if guard and rng.random() < 0.4:
            for _ in range(rng.randint(1, 4)):
                rule = rng.choice(RULES)
                ticks = rng.randint(1, 60)
                spans.append({"tick": rng.randint(50, 700), "ticks": ticks, "kind": rng.choice(["veto", "replace"]), "rule": rule, "facts": [], "why": "1.2 is over 1.0"})
                count[rule] = count.get(rule, 0) + ticks
        g = per_goal.setdefault(goal, [0, 0])
        g[0] += good
        g[1] += 1
        episodes.append({"index": i, "seed": 1000 + i, "goal": goal, "instruction": "do it", "success": good, "timeout": False, "ticks": 900, "seconds": 6 + 5 * rng.random(),
                         "events": ["dropped"] if bad else [], "violations": ["dropped"] if bad else [], "first_violation": 430 if bad else -1,
                         "replaced_ticks": 0, "vetoed_ticks": 0, "rules": {}, "interventions": spans})
    result = {"clock": "wall" if wall else "virtual", "rate_hz": 100, "episodes": episodes, "films": [film(folder, 3, "success"), film(folder, 7, "veto"), film(folder, 9, "failure")] if guard and not wall else []}
    k, bad = sum(e["success"] for e in episodes), sum(bool(e["violations"]) for e in episodes)
    figures = {"attempted": n, "successes": k, "success_rate": k / n, "ci95": bounds(k, n), "violation_episodes": bad, "violation_rate": bad / n, "upper95": bounds(bad, n)["hi"],
               "per_goal": {g: {"attempted": b, "successes": a, "success_rate": a / b, "ci95": bounds(a, b)} for g, (a, b) in per_goal.items()},
               "interventions": count, "intervention_episodes": sum(bool(e["interventions"]) for e in episodes), "events": {"dropped": bad} if bad else {}}
    if wall:
        def bins(centre, tail):
            counts = {}
            for _ in range(6000):
                v = centre * math.exp(rng.gauss(0, 0.15)) * (tail if rng.random() < 0.002 else 1)
                low = 2 ** (math.floor(8 * math.log2(v)) / 8)
                counts[low] = counts.get(low, 0) + 1
            return [[int(a), int(a * 2 ** 0.125), m] for a, m in sorted(counts.items())]
        result["step_ns"], result["jitter_ns"] = bins(3.2e5, 6), bins(9e3, 40)
        figures.update({"p50_ms": 0.32, "p95_ms": 0.41, "p99_ms": 0.46, "max_ms": 2.6, "jitter_p50_ms": 0.009, "jitter_p99_ms": 0.013, "jitter_max_ms": 0.4, "missed": 0,
                        "control_ticks": 6000, "scheduling": "normal", "why_not_fifo": "it is not permitted", "memory_bytes": 4_100_000, "rate_hz": 100})
    write(os.path.join(folder, "rollout.json"), result)
    return {"name": name, "type": "rollout", "state": "done", "seconds": 41.5, "figures": figures, "result": os.path.join(folder, "rollout.json")}


def training():
    steps = list(range(8, 4001, 8))
    loss = [0.9 * math.exp(-s / 500) * math.exp(rng.gauss(0, 0.12)) + 0.012 for s in steps]
    valid = {"step": list(range(250, 4001, 250)), "loss": [0.9 * math.exp(-s / 500) + 0.016 for s in range(250, 4001, 250)]}
    write(os.path.join(out, "policy", "curve.json"), {"step": steps, "loss": loss, "norm": [2 * v ** 0.5 for v in loss], "valid": valid, "window": 8,
                                                      "lr": [1e-3 * min(1, s / 200) * (0.5 + 0.5 * math.cos(math.pi * s / 4000)) for s in steps]})
    return {"name": "policy", "type": "train", "state": "done", "seconds": 92.4, "result": os.path.join(out, "policy", "policy.evla"),
            "figures": {"loss_first": loss[0], "loss_last": loss[-1], "steps": 4000, "seconds": 92.4, "arena_bytes": 7_340_032, "valid_loss": valid["loss"][-1], "batch": 256}}


def recipe():
    layers = []
    for i, (name, rows, cols) in enumerate((("words.table", 64, 48), ("slow.1.w", 256, 148), ("slow.2.w", 256, 256), ("fast.1.w", 512, 292), ("fast.2.w", 512, 512), ("head.w", 8, 512))):
        before, put_back = 4 * rows * cols, name == "slow.1.w"
        coded = name not in ("head.w", "words.table") and not put_back
        layers.append({"weight": name, "type": "f32[%d,%d]" % (rows, cols), "decision": "int8" if coded else "f32", "put_back": put_back, "rule": 2, "linears": 1, "tables": 0,
                       "reason": "the rule \"*\"" if coded else "put back: alone it costs 1.4 %" if put_back else "rule 1 keeps it",
                       "bytes_before": before, "bytes_after": rows * cols + 4 * rows if coded else before, "error": 0.004 + 0.002 * i if coded or put_back else None,
                       "metric_alone": 0.0123 + 0.0001 * i if coded or put_back else None, "us_f32": 10.0 + 3 * i if coded or put_back else None,
                       "us_codes": 4.0 + 1.5 * i if coded else 15.0 if put_back else None, "kernel_f32": "linear.avx512", "kernel_codes": "quantized_linear.vnni"})
    a, b = sum(x["bytes_before"] for x in layers), sum(x["bytes_after"] for x in layers)
    card = {"bytes_f32": a, "bytes_coded": b, "ratio": a / b, "metric": "loss", "metric_graph": "loss", "metric_unit": "", "metric_better": "lower", "metric_worse_by": "2%", "metric_rows": 1024,
            "metric_mask": "valid", "metric_f32": 0.01613, "metric_coded": 0.01629, "metric_without_fallback": 0.0171, "metric_allowed": 0.01645, "weights": 6, "weights_in_codes": 3,
            "weights_put_back": 1, "step_graphs": ["slow", "fast"], "step_f32_us": 61.2, "step_coded_us": 24.8, "speedup": 61.2 / 24.8, "layers": layers}
    write(os.path.join(out, "int8", "scorecard.json"), card)
    with open(os.path.join(out, "int8", "fast.before.svg"), "w") as f:
        f.write('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 90 30"><rect width="90" height="30" fill="#eee"/><text x="9" y="20">linear</text></svg>')
    return {"name": "int8", "type": "recipe", "state": "done", "seconds": 12, "result": os.path.join(out, "int8", "int8.evla"), "figures": card}


def lua(v):
    if v is None:
        return "nil"
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, (int, float)):
        return repr(v)
    if isinstance(v, str):
        return '"' + v.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(v, list):
        return "{" + ",".join(map(lua, v)) + "}"
    return "{" + ",".join("[%s]=%s" % (lua(k), lua(x)) for k, x in v.items() if x is not None) + "}"


def make(jobs, name):
    page = os.path.join(work, name + ".html")
    summary = {"program": name, "jobs": jobs}
    with open(os.path.join(work, "summary.lua"), "w") as f:
        f.write("return " + lua(summary))
    r = subprocess.run([evla, "repl", "--trust"], cwd=work, input='require("evla.report").write("%s", require "summary")\n' % page, capture_output=True, text=True, timeout=60)
    return page, r


work = tempfile.mkdtemp(prefix="evla-report-")
keep = len(sys.argv) > 1 and sys.argv[1]
try:
    out = os.path.join(work, "coffee")
    jobs = [training(), recipe(), rollout("eval", 300, 0.94, 0.0, True), rollout("unguarded", 300, 0.93, 0.05, False), rollout("shuffled", 300, 0.2, 0.0, True), rollout("robot", 6, 0.9, 0, True, wall=True)]
    page, r = make(jobs, "coffee")
    ok(os.path.exists(page) and r.returncode == 0, "a page is written", r.stdout + r.stderr)
    text = open(page, encoding="utf-8").read()
    pictures, broken = re.findall(r"<svg.*?</svg>", text, re.S), []
    for p in pictures:
        try:
            ElementTree.fromstring(p)
        except ElementTree.ParseError as e:
            broken.append("%s: %s" % (e, p))
    ok(len(pictures) > 30 and not broken, "every picture is well-formed XML, %d of them" % len(pictures), "\n".join(broken))
    words = [w for p in pictures for w in re.findall(r"[-\w.]+", re.sub(r"<title>.*?</title>|<text.*?</text>", "", p)) if w.lower().strip("-") in ("nan", "inf")]
    ok(not words and ">nan" not in text and ">inf" not in text, "no number is NaN or infinite", words)
    ok("<that>" not in text and "&lt;that&gt;" in text and "&amp; close" in text, "text of others is escaped")
    for name, kind in (("policy", "training"), ("int8", "quantising"), ("eval", "acting"), ("compared", "all rollouts")):
        ok(re.search(r'<h2 id="%s">.*?<small>%s</small>' % (name, kind), text) and 'href="#%s"' % name in text, "a section %s, and a link to it" % name)

    # the curve: both lines, from the first step to the last, falling
    lines = [[tuple(map(float, p.split(","))) for p in m.split()] for m in re.findall(r'<polyline class="line[^"]*" points="([^"]*)"', text)]
    ok(len(lines) == 4 and len(lines[0]) == 500 and len(lines[1]) == 16, "loss in training and held out, learning rate, gradient", [len(x) for x in lines])
    ok(all(x[0] <= y[0] for line in lines for x, y in zip(line, line[1:])) and lines[1][0][1] < lines[1][-1][1] and lines[0][0][0] < lines[1][0][0], "over steps from left to right, downwards")

    # bars end where the shares are
    section = text[text.index('<h2 id="compared"'):]
    success = section[section.index("<h3>Success"):section.index("<h3>Unsafe")]
    bars = re.findall(r'<rect class="bar [^"]*" x="150" y="\d+" width="([\d.]+)"', success)
    whiskers = re.findall(r'<path class="whisker" d="M([\d.]+) \d+H([\d.]+)M', success)
    want = [j["figures"] for j in jobs[2:]]
    ok(len(bars) == 4 and all(abs(float(b) - 320 * f["success_rate"]) < 0.1 for b, f in zip(bars, want)), "a bar's length is the success rate", bars)
    ok(len(whiskers) == 4 and all(abs(float(a) - 150 - 320 * f["ci95"]["lo"]) < 0.1 and abs(float(b) - 150 - 320 * f["ci95"]["hi"]) < 0.1 for (a, b), f in zip(whiskers, want)),
       "and its whisker the interval", whiskers)
    bad = want[1]["violation_episodes"]
    ok("%d of 300, at most" % bad in section, "violations beside each other: %d without the guard" % bad, section[-2000:])

    # the scorecard
    card = text[text.index('<h2 id="int8"'):text.index('<h2 id="eval"')]
    ok("put back: alone it costs 1.4 %" in card and "f32, put back" in card and card.count("<tr>") == 7 and "2.47\u00d7" in card and "+0.99 %" in card,
       "the scorecard: each weight with decision and reason, size, metric, speed", re.sub("<[^>]*>", " ", card)[:900])
    ok("data:image/svg+xml;base64," in card, "and the graph that the recipe drew")

    # what the guard did, and films
    acting = text[text.index('<h2 id="eval"'):text.index('<h2 id="unguarded"')]
    n = sum(bool(e["interventions"]) for e in json.load(open(os.path.join(out, "eval", "rollout.json")))["episodes"])
    ok(acting.count("data:image/png;base64,") == 24 and acting.count('<svg class="scene"') == 24, "three films of 8 frames, each with its scene")
    ok(acting.count('<figure class="veto">') == 2 and acting.count('<figure class="replace">') == 1 and "stopped: grip_needs_contact" in acting, "frames in which the guard stepped in are marked")
    first = re.findall(r'<svg class="scene".*?</svg>', acting, re.S)
    ok("held" not in first[0] and "red_mug held gripper" in first[2] and first[2].count("contact") == 1 and "coaster" not in first[2],
       "relations as they come and go; both directions are one line; what is never related is left out", first[2])
    ok("The 24 of %d episodes" % n in acting and acting.count('class="veto"') > 10 and "by its time" not in acting, "the timeline shows the 24 of %d episodes with most to see" % n)
    robot = text[text.index('<h2 id="robot"'):text.index('<h2 id="compared"')]
    ok("None of 6000 ticks missed" in robot and "it is not permitted" in robot and "p99 460" in robot and "the period" in robot, "time on the wall clock: misses, scheduling, quantiles, the period", re.sub("<[^>]*>", " ", robot))

    # jobs that have not run, or whose files are gone
    shutil.rmtree(out)
    waiting = {"name": "later", "type": "rollout", "state": "waiting", "seconds": 0, "figures": {}, "result": os.path.join(out, "later", "rollout.json")}
    page2, r = make(jobs[:3] + [waiting], "gone")
    ok(os.path.exists(page2) and r.returncode == 0 and 'id="later"' not in open(page2).read(), "files that are gone and jobs that wait leave gaps, no mistakes", r.stdout + r.stderr)
    for f in ({}, {"attempted": 0, "successes": 0, "success_rate": 0, "ci95": {"lo": 0, "hi": 1}, "per_goal": {}, "violation_rate": 0, "upper95": 1}):
        write(os.path.join(out, "none", "rollout.json"), {"clock": "virtual", "episodes": []})
        job = {"name": "none", "type": "rollout", "state": "done", "seconds": 0, "figures": f, "result": os.path.join(out, "none", "rollout.json")}
        r = make([job], "none")[1]
        ok(r.returncode == 0 and "evla:" not in r.stderr, "a rollout of no episodes has a page", r.stdout + r.stderr)

    # a real model and its run
    if os.path.exists(os.path.join(build, "plugins", "ops.so")):
        with open(os.path.join(work, "small.lua"), "w") as f:
            f.write('local evla = require "evla"\nlocal m = evla.model "mlp" { layers = 2, width = 32 }\n'
                    'return evla.program { m, evla.apply "run" { model = m, symbols = { B = 4 }, runs = 5 }, evla.report {} }\n')
        r = subprocess.run([evla, "run", "small.lua", "--out", "o"], cwd=work, capture_output=True, text=True, timeout=60)
        small = open(os.path.join(work, "o", "small", "report.html")).read() if r.returncode == 0 else ""
        arena = re.search('alt="arena of graph policy"', small) and re.search(r"data:image/svg\+xml;base64,([^\"]+)", small)
        drawn = ElementTree.fromstring(base64.b64decode(arena.group(1))) if arena else None
        ok(drawn is not None and "lower bound" in "".join(drawn.itertext()), "a model's arena is drawn", r.stdout + r.stderr)
        ok("half of 5 take less" in small and small.count('<rect class="bar"') == 3, "and the time of each node of a run", re.sub("<[^>]*>", " ", small)[-500:])

    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser and not os.environ.get("EVLA_SAN"):
        more = ["--screenshot=" + keep, "--window-size=1200,16000"] if keep else ["--dump-dom"]
        r = subprocess.run([browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
                            "--user-data-dir=" + os.path.join(work, "chromium"), "--enable-logging=stderr", "--v=0", *more, "file://" + page], capture_output=True, text=True, timeout=90)
        dom = r.stdout
        ok(not re.search("CONSOLE|Uncaught", r.stderr) and (keep or (dom.count("<svg") == len(pictures) and dom.count("<img") == 49 and "Side by side" in dom)), "Chromium shows all of it without a complaint", r.stderr)
        ok(not re.search(r'(src|href)="(http|//|file)', text), "and the page needs nothing from outside")
    else:
        skip("Chromium shows all of it", "Chromium is not installed")
finally:
    shutil.rmtree(work, ignore_errors=True)
done()
