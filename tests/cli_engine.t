#!/usr/bin/python3
"""cli_engine.t -- evla plugins, inspect, new, doctor: tables for people, JSON for programs, refusals with a sentence."""
import json
import os
import re
import shutil
import struct
import subprocess
import tempfile
from tap import done, need, ok, skip

here = os.path.dirname(os.path.abspath(__file__))
build = os.path.abspath(os.environ.get("EVLA_BUILD", os.path.join(here, "..", "build")))
evla = os.path.join(build, "evla")
point = os.path.join(build, "tests", "plugins", "body_point.so")

need(evla, point, os.path.join(build, "plugins", "hdf5.so"), os.path.join(build, "plugins", "ops.so"))


def run(*words, **more):
    r = subprocess.run([evla, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=folder, timeout=120, **more)
    r.all = r.stdout + r.stderr
    return r


def refused(r, code, *parts):
    return r.returncode == code and r.stderr.startswith("evla: ") and r.stderr.count("\n") == 1 and all(p in r.stderr for p in parts)


def plugins():
    r = run("plugins")
    ok(r.returncode == 0 and re.search(r"^  stage\.hdf5 +episodes in HDF5", r.stdout, re.M), "plugins lists plugins and items with their docs", r.all)
    ok("\x1b" not in r.stdout, "without colours when nobody looks")
    r = run("plugins", "hdf5")
    ok(r.returncode == 0 and "evla.stage.hdf5:" in r.stdout and re.search(r"shard: .*\n +size.*default 2GiB", r.stdout), "plugins NAME shows parameters with types and presets", r.all)
    r = run("plugins", "op.linear")
    ok(r.returncode == 0 and "evla.op.linear" in r.stdout and "evla.op.gelu" not in r.stdout, "an item's name shows that item", r.all)
    ok(refused(run("plugins", "hdf6"), 2, 'did you mean "hdf5"?'), "an unknown name: the nearest is named")
    ok(refused(run("plugins", "--verbos"), 2, "no --verbos"), "an unknown option is refused")
    r = run("plugins", "--json")
    all_of = json.loads(r.stdout)
    ok(r.returncode == 0 and any(i["name"] == "hdf5" and i["kind"] == "stage" and i["params"] for p in all_of for i in p["items"]), "--json is JSON with every parameter")
    ok([p["id"] for p in json.loads(run("plugins", "ops", "--json").stdout)] == ["evla.ops"], "--json with a name holds that one")


def new():
    r = run("new", "plugin", "brisk", "--kind", "op")
    lines = [s.strip() for s in r.stdout.splitlines() if s.startswith("  ")]
    ok(r.returncode == 0 and len(lines) == 3 and lines[0] == "cd brisk", "new plugin NAME makes a folder and prints how to build it", r.all)
    text = open(os.path.join(folder, "brisk", "brisk.c")).read()
    ok("template" not in text and "l2norm" not in text and '"evla.brisk"' in text, "nothing in it is called as the template is")
    if os.environ.get("EVLA_SAN"):
        skip("it builds with the line that was printed", "a plugin from plain cc does not fit a sanitizer's program")
    else:
        made = subprocess.run(lines[0] + " && " + lines[1] + " -Werror", shell=True, cwd=folder, capture_output=True, text=True)
        ok(made.returncode == 0, "it builds with the line that was printed", made.stderr)
        r = run(*lines[2].split()[1:-1], "./brisk/brisk.so")
        ok(r.returncode == 0 and "evla.op.brisk" in r.stdout, "and loads with the line after it", r.all)
    before = text
    ok(refused(run("new", "plugin", "brisk"), 2, "brisk exists already"), "a folder that exists is refused")
    ok(open(os.path.join(folder, "brisk", "brisk.c")).read() == before, "and left as it is")
    for name in ("Brisk", "9lives", "a-b", "..", "a b", "x" * 41, "template"):
        ok(refused(run("new", "plugin", name), 2), "the name %s is refused" % name[:20])
    ok(refused(run("new", "plugin", "gelu"), 2, "evla.ops"), "and so is one that is taken")
    ok(refused(run("new", "plugin", "none/gate"), 2, "no folder none"), "and one in a folder that is not there")
    ok(refused(run("new", "plugin", "twice", "thrice"), 2, "thrice"), "and two at once")
    ok(refused(run("new", "plugin"), 2, "name is missing"), "and none at all")
    ok(refused(run("new", "gadget", "x"), 2, "gadget"), "and something else than a plugin")
    ok(refused(run("new", "plugin", "b2", "--kind", "body"), 2, "--kind op"), "and a kind without a template")


def inspect():
    with open(os.path.join(folder, "made.lua"), "w") as f:
        f.write('local evla = require "evla"\nreturn evla.pipeline "demos" { evla.rollout { body = evla.body.point { ticks = 90 }, policy = "expert", '
                'episodes = 12, seed = 1 }, evla.stage.hdf5 { path = "demos.hdf5" } }\n')
    r = run("run", "made.lua", "--plugins", point)
    path = "out/made/demos/demos.hdf5"
    ok(r.returncode == 0, "a dataset is made", r.all)
    strip = os.path.join(folder, "strip.png")
    r = run("inspect", path, "--strip", "strip.png")
    ok(r.returncode == 0 and ": 12 episodes" in r.stdout and re.search(r"ticks +\d+ \([\d.]+ s\) to \d+", r.stdout), "a dataset: episodes and lengths", r.all)
    ok(re.search(r"left +\d+ episodes? +\d+ succeeded\n +right", r.stdout), "its goals with successes", r.stdout)
    ok(re.search(r"obs/pos +f32\[T,2\] +m +\d+ +-[\d.e-]+ +-?[\d.e-]+ +[\d.]+", r.stdout), "its fields with type, unit, rate and range", r.stdout)
    ok("mask/train" in r.stdout, "its masks")
    if os.path.exists(os.path.join(build, "plugins", "image.so")):
        head = open(strip, "rb").read(24)
        ok(head[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">I", head[16:20])[0] > 100, "and a film strip")
        r = run("inspect", path)
        ok(os.path.exists(os.path.join(folder, "out/made/demos/demos.png")) and "demos.png" in r.stdout, "which lies beside the file unless told otherwise", r.all)
        ok(refused(run("inspect", path, "--camera", "back"), 3, "back"), "a camera that is not there is refused")
        ok(refused(run("inspect", path, "--episode", "99"), 2, "1 to 12"), "an episode that is not there, too")
    r = run("inspect", path, "--json")
    s = json.loads(r.stdout)
    ok(s["episodes"] == 12 and sum(g["episodes"] for g in s["goals"]) == 12 and any(f["name"] == "actions" and f["max"] <= 1 for f in s["fields"]), "--json tells the same")
    r = run("inspect", path, "--mask", "train")
    ok(r.returncode == 0 and "goals" in r.stdout, "--mask looks at a part", r.all)
    ok(refused(run("inspect", path, "--strp", "x"), 2, "did you mean --strip?"), "an option that does not exist: the nearest is named")
    real = os.path.join(os.environ.get("EVLA_TEST_DATA", ""), "robot", "panda_lift.demo.hdf5")
    if os.path.exists(real):
        shutil.copy(real, folder)
        r = run("inspect", "panda_lift.demo.hdf5")
        ok(r.returncode == 0 and "1 episode\n" in r.stdout and "f64[T,7]" in r.stdout, "a person's demonstration of robosuite", r.all)
    else:
        skip("a person's demonstration of robosuite", "EVLA_TEST_DATA does not hold it")
    for name, text, word in (("a.txt", b"hello\n", "text"), ("b.bin", b"\x00\x01\x02", "no kind"), ("c.evla", b"", "empty"), ("d.gguf", b"GGUF\3\0\0\0", "was it cut off?")):
        with open(os.path.join(folder, name), "wb") as f:
            f.write(text)
        ok(refused(run("inspect", name), 3, name, word), "%s is refused with 3, and the sentence says what it is" % name)
    ok(refused(run("inspect", "none.hdf5"), 3, "there is no such file"), "a file that is not there")
    ok(refused(run("inspect", "."), 3, "folder"), "a folder")
    ok(refused(run("inspect", path, path), 2, "one file at a time"), "two files")
    mlp = os.path.join(here, "..", "pipelines", "mlp.lua")
    if run("run", mlp, "--only", "mlp", "--out", "m").returncode == 0:
        r = run("inspect", "m/mlp/mlp/mlp.evla")
        ok(r.returncode == 0 and re.search(r"graph policy\n +input +state +f32\[B,9\]\n +output +action", r.stdout), "a model: graphs, inputs, outputs", r.all)
        ok("head.w" in r.stdout and "KiB" in r.stdout, "its weights and bytes", r.stdout)
        s = json.loads(run("inspect", "m/mlp/mlp/mlp.evla", "--json").stdout)
        ok(s["kind"] == "model" and s["graphs"][0]["outputs"] == ["action"] and s["weight_bytes"] > 1000, "--json tells the same")


def doctor():
    r = run("doctor")
    ok(r.returncode == 0 and all(w in r.stdout for w in ("this machine", "processor", "memory", "disk", "SCHED_FIFO", "glibc", "ok  ops")), "doctor tells about the machine and the plugins", r.all)
    s = json.loads(run("doctor", "--json").stdout)
    ok(s["machine"]["processors"] >= 1 and any(p["name"] == "hdf5" for p in s["plugins"]), "--json tells the same")
    few = os.path.join(folder, "few")
    os.mkdir(few)
    shutil.copy(os.path.join(build, "plugins", "half.so"), few)
    r = run("doctor", env=dict(os.environ, EVLA_PLUGINS=few))
    ok(r.returncode == 0 and re.search(r"--  hdf5 .*needs libhdf5-dev", r.stdout) and "apt-get install" in r.stdout, "what is missing comes with the line that brings it", r.all)
    shutil.copy(os.path.join(build, "tests", "plugins", "bad_magic.so"), few)
    r = run("doctor", env=dict(os.environ, EVLA_PLUGINS=few))
    ok(r.returncode == 0 and "bad_magic.so: magic" in r.stdout, "a refused plugin does not stop it", r.all)
    r = run("plugins", env=dict(os.environ, EVLA_PLUGINS=few))
    ok(refused(r, 3, "bad_magic.so"), "while every other verb ends with 3", r.all)
    r = run("doctor", env=dict(os.environ, EVLA_MACHINE="portable"))
    ok(r.returncode == 0 and re.search(r"planned for +portable\n", r.stdout), "EVLA_MACHINE=portable is shown", r.all)
    r = run("plugins", env=dict(os.environ, EVLA_MACHINE="steam"))
    ok(refused(r, 2, 'EVLA_MACHINE: no machine is called "steam"; those loaded are portable'), "a machine that is none is refused", r.all)
    r = run("doctor", env=dict(os.environ, EVLA_MACHINE="steam"))
    ok(r.returncode == 0 and 'no machine is called "steam"' in r.stdout, "and the doctor tells so", r.all)


os.environ.pop("EVLA_PLUGINS", None)
os.environ.pop("EVLA_SCRIPTS", None)
folder = tempfile.mkdtemp(prefix="evla-cli-")
try:
    plugins()
    new()
    inspect()
    doctor()
finally:
    shutil.rmtree(folder, ignore_errors=True)
done()
