#!/usr/bin/python3
"""template.t -- the plugin to copy and the tutorial's plugin build as told, out of tree, and compute."""
import os
import re
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
import tap
from op_oracle import Grads, Refused, Runner, np

root = os.path.dirname(here)
flags = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wstrict-prototypes", "-Wmissing-prototypes", "-Werror"]


def fenced(page, language, which=0):
    return re.findall("```" + language + "\n(.*?)```", page, re.S)[which]


def build(page, folder, name):
    """The page's own command, with our warnings on top."""
    command = fenced(page, "sh").strip()
    env = dict(os.environ, EVLA=os.path.join(root, "core"))
    cc = os.environ.get("CC", "cc")
    command = re.sub("^cc ", cc + " " + " ".join(flags) + " ", command)
    if os.environ.get("EVLA_SAN"):
        command += " -fsanitize=address,undefined"
    made = subprocess.run(command, shell=True, cwd=folder, env=env, capture_output=True, text=True)
    tap.ok(made.returncode == 0, f"{name} builds with the line on its page" + (": " + made.stderr[:300] if made.returncode else ""))
    return os.path.join(folder, name + ".so")


def read(*path):
    with open(os.path.join(root, *path)) as f:
        return f.read()


with tempfile.TemporaryDirectory() as folder:
    page = read("docs", "write-a-plugin.md")
    code = fenced(page, "c")
    with open(os.path.join(folder, "deadband.c"), "w") as f:
        f.write(code)
    so = build(page, folder, "deadband")
    ops = Runner(so)
    x = np.array([[0.5, -0.004, 0.019, -0.02]], np.float32)
    tap.ok((ops.run("deadband", x) == np.where(np.abs(x) < 0.01, 0, x)).all(), "the tutorial's operator silences what is small")
    try:
        ops.run("deadband", np.zeros(3, np.int32))
        tap.ok(False, "it refuses i32")
    except Refused as r:
        tap.ok(r.code == -3 and "f32" in r.why, f"it refuses i32: {r.why}")
    tap.ok(ops.finish() == 0, "the runner ends well")

    def change(code, which):
        for hunk in fenced(page, "diff", which).split("@@\n"):
            code = patch(code, hunk)
        return code

    def patch(code, hunk):
        lines = hunk.splitlines(keepends=True)
        old = "".join(s[1:] for s in lines if s[0] in " -")
        new = "".join(s[1:] for s in lines if s[0] in " +")
        tap.ok(code.count(old) == 1, "a hunk of the page meets its file once")
        return code.replace(old, new)

    code = change(code, 0)
    with open(os.path.join(folder, "deadband.c"), "w") as f:
        f.write(code)
    ops = Runner(build(page, folder, "deadband"))
    got = ops.run("deadband", x, width=0.02)
    tap.ok((got == np.where(np.abs(x) < 0.02, 0, x)).all(), "with a parameter it takes the user's width")
    tap.ok(str(got) in page, "and prints what the page shows")
    tap.ok((ops.run("deadband", x) == np.where(np.abs(x) < 0.01, 0, x)).all(), "its preset is 0.01")
    tap.ok(ops.finish() == 0, "the runner ends well")

    with open(os.path.join(folder, "deadband.c"), "w") as f:
        f.write(change(code, 1))
    grads = Grads("ops", build(page, folder, "deadband"))
    seed = np.array([[1, 2, 3, 4]], np.float32)
    got = grads.grads("deadband", [x], [seed], [0], width=0.02)
    tap.ok((got[0] == np.where(np.abs(x) < 0.02, 0, seed)).all(), "its gradient passes where the command does")
    tap.ok(grads.finish() == 0, "the runner of gradients ends well")

    # copied and renamed, as `evla new plugin` does
    text = read("plugins", "template", "template.c")
    readme = read("plugins", "template", "README.md")
    rename = lambda s: s.replace("template", "unit").replace("l2norm", "unit")
    with open(os.path.join(folder, "unit.c"), "w") as f:
        f.write(rename(text))
    for so, op in ((build(rename(readme), folder, "unit"), "unit"), ("template", "l2norm")):
        ops = Runner(so)
        rng = np.random.default_rng(7)
        good = True
        for shape in ((5, 7), (3,), (130, 4), (2, 3, 4), (0, 3), (3, 0)):
            v = rng.standard_normal(shape).astype(np.float32)
            w = v.astype(np.float64)
            w = w / (np.sqrt((w * w).sum(-1, keepdims=True)) + 1e-12)
            good &= np.abs(ops.run(op, v) - w).max(initial=0) <= 2.0 ** -24
        tap.ok(good, f"{op}: rows of length 1, within half a unit in the last place of 1")
        tap.ok(not ops.run(op, np.zeros((2, 3), np.float32)).any(), f"{op}: zeros stay zeros")
        for bad, code in ((np.zeros(3, np.int32), -3), (np.zeros((), np.float32), -2)):
            try:
                ops.run(op, bad, label="arm/u.1")
                tap.ok(False, f"{op} refuses {bad.dtype} of rank {bad.ndim}")
            except Refused as r:
                tap.ok(r.code == code and "arm/u.1" in r.why, f"{op} refuses: {r.why}")
        tap.ok(ops.finish() == 0, "the runner ends well")
tap.done()
