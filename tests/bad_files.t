#!/usr/bin/python3
"""bad_files.t -- files that are cut short or foreign, a full disk, Ctrl-C and SIGKILL: a sentence, an exit code, nothing lost."""
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from tap import done, need, ok, skip

here = os.path.dirname(os.path.abspath(__file__))
build = os.path.abspath(os.environ.get("EVLA_BUILD", os.path.join(here, "..", "build")))
evla = os.path.join(build, "evla")
point = os.path.join(build, "tests", "plugins", "body_point.so")
slow = 5 if os.environ.get("EVLA_SAN") else 1

need(evla, point, os.path.join(build, "plugins", "hdf5.so"), os.path.join(build, "plugins", "sanity.so"))


def run(*words, **more):
    return subprocess.run([evla, *words], capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, timeout=120 * slow, **more)


def program(name, stages, **options):
    with open(os.path.join(folder, name + ".lua"), "w") as f:
        f.write('local evla = require "evla"\nlocal body = evla.body.point { ticks = 60, fail = "collision", fail_every = 5%s }\n'
                'return evla.pipeline "demos" { %s, workers = %d }\n' % (options.get("body", ""), stages, options.get("workers", 2)))
    return os.path.join(folder, name + ".lua")


def one_sentence(r, *parts):
    lines = [line for line in r.stderr.splitlines() if line.startswith("evla: ")]
    return bool(lines) and all(p in r.stderr for p in parts) and r.returncode > 0


roll = 'evla.rollout { body = body, policy = "expert", episodes = %d, seed = 1 }, evla.stage.sanity { reject = { "collision" } }, evla.stage.hdf5 { path = "demos.hdf5" }'


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def damaged():
    r = run("run", program("whole", roll % 4), "--plugins", point, "--out", "out", cwd=folder)
    made = os.path.join(folder, "out", "whole", "demos", "demos.hdf5")
    ok(r.returncode == 0 and os.path.exists(made), "a dataset is made", r.stderr)
    data = open(made, "rb").read()
    broken = os.path.join(folder, "broken.hdf5")
    reader = program("reads", 'evla.stage.hdf5 { path = "broken.hdf5" }, evla.stage.hdf5 { path = "copy.hdf5" }')
    random.seed(3)
    wrong = []
    for n in [0, 1, 7, 8, 50, 96, 511, 512, 2048, len(data) // 2, len(data) - 1] + [random.randrange(len(data)) for _ in range(10)]:
        with open(broken, "wb") as f:
            f.write(data[:n])
        for r in (run("inspect", broken), run("check", reader, "--plugins", point, "--out", "out", cwd=folder)):
            if r.returncode != 3 or not one_sentence(r, "broken.hdf5"):
                wrong.append((n, r.returncode, r.stderr))
    ok(not wrong, "a dataset cut anywhere is refused with 3 and its name", wrong)
    with open(broken, "wb") as f:
        f.write(data[:len(data) // 2])
    r = run("inspect", broken)
    ok("cut short" in r.stderr, "the sentence says that it is cut short", r.stderr)
    crashed = []
    for k in range(60):
        bad = bytearray(data)
        for _ in range(random.choice((1, 4, 64))):
            bad[random.randrange(len(bad) if k % 2 else 8192)] = random.randrange(256)
        with open(broken, "wb") as f:
            f.write(bad)
        r = run("inspect", broken, "--all", "--strip", os.path.join(folder, "s.png"))
        if r.returncode not in (0, 3):
            crashed.append((k, r.returncode, r.stderr))
    ok(not crashed, "damage at random places is refused or harmless, never a crash", crashed)
    for name, text in (("words.hdf5", b"these are words\n" * 100), ("noise.hdf5", random.randbytes(5000)), ("signature.hdf5", b"\x89HDF\r\n\x1a\n" + bytes(4096))):
        path = os.path.join(folder, name)
        with open(path, "wb") as f:
            f.write(text)
        r = run("inspect", path)
        ok(r.returncode == 3 and one_sentence(r, name), "%s is told apart from a dataset" % name, r.stderr)
    made = subprocess.run(["/usr/bin/python3", "-c", "import h5py, sys\nf = h5py.File(sys.argv[1], 'w')\nf['weather/rain'] = [1.0, 2.0]\nf.close()",
                           os.path.join(folder, "foreign.hdf5")], capture_output=True)
    if made.returncode:
        skip("a dataset about something else", "h5py is not installed")
    else:
        r = run("inspect", os.path.join(folder, "foreign.hdf5"))
        ok(r.returncode == 3 and one_sentence(r, "foreign.hdf5"), "a dataset about something else is refused: " + r.stderr.strip()[-120:], r.stderr)
    model = os.path.join(folder, "model.evla")
    for n in (8, 20, 31, 32, 60):
        with open(model, "wb") as f:
            f.write((b"evla\r\n\x1a\n" + (1).to_bytes(4, "little") + bytes(4) + (1 << 60).to_bytes(8, "little") + (1 << 61).to_bytes(8, "little") + bytes(64))[:n])
        r = run("inspect", model)
        ok(r.returncode == 3 and one_sentence(r, "model.evla"), "a model of %d bytes is refused" % n, r.stderr)


def full_disk():
    small = os.path.join(folder, "small")
    os.mkdir(small)
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], capture_output=True).returncode:
        skip("a full disk", "mounting a small disk needs root")
        r = run("plugins")
        return
    try:
        script = program("full", roll % 60)
        r = run("run", script, "--plugins", point, "--out", small, cwd=folder)
        ok(r.returncode == 1 and one_sentence(r, "demos"), "a full disk fails the job with 1: " + r.stderr.strip()[-160:], r.stderr)
        ok("space" in r.stderr, "the sentence says so", r.stderr)
        subprocess.run(["mount", "-o", "remount,size=64m", small], check=True)
        r = run("run", script, "--plugins", point, "--out", small, cwd=folder)
        ok(r.returncode == 0, "with more room the same command goes on", r.stderr)
        whole = run("run", script, "--plugins", point, "--out", os.path.join(folder, "roomy"), cwd=folder)
        ok(whole.returncode == 0 and digest(os.path.join(small, "full/demos/demos.hdf5")) == digest(os.path.join(folder, "roomy/full/demos/demos.hdf5")),
           "and ends with the same bytes as a run with room", whole.stderr)
    finally:
        subprocess.run(["umount", small])


def wait_for_parts(out, n):
    parts = os.path.join(out, "demos", "demos.parts")
    end = time.time() + 20 * slow
    while time.time() < end:
        if os.path.isdir(parts) and sum(name.endswith(".hdf5") for name in os.listdir(parts)) >= n:
            return True
        time.sleep(0.005)
    return False


def interrupted():
    script = program("long", roll % 40, body=', slow = "400us"')
    r = run("run", script, "--plugins", point, "--out", "calm", cwd=folder)
    want = os.path.join(folder, "calm", "long", "demos", "demos.hdf5")
    ok(r.returncode == 0 and os.path.exists(want), "a run that nobody disturbs", r.stderr)

    p = subprocess.Popen([evla, "run", script, "--plugins", point, "--out", "stopped"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    ok(wait_for_parts(os.path.join(folder, "stopped", "long"), 5), "episodes are committed while it runs")
    p.send_signal(signal.SIGINT)
    said = p.communicate(timeout=60 * slow)[1]
    ok(p.returncode == 130, "SIGINT ends it with 130", p.returncode)
    ok("run the same command to go on" in said, "it says how to go on: " + said.strip()[-140:], said)
    kept = len(os.listdir(os.path.join(folder, "stopped", "long", "demos", "demos.parts")))
    ok(kept >= 5, "what was committed is there: %d episodes" % kept)
    r = run("run", script, "--plugins", point, "--out", "stopped", cwd=folder)
    ok(r.returncode == 0, "the same command goes on", r.stderr)
    ok("earlier" in r.stderr, "and says that it does", r.stderr)
    ok(digest(os.path.join(folder, "stopped", "long", "demos", "demos.hdf5")) == digest(want), "with the same bytes in the end")

    p = subprocess.Popen([evla, "run", script, "--plugins", point, "--out", "killed"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    times = 0
    for n in (2, 7, 12, 18):
        if not wait_for_parts(os.path.join(folder, "killed", "long"), n) or p.poll() is not None:
            break
        p.kill()
        p.wait()
        times += 1
        p = subprocess.Popen([evla, "run", script, "--plugins", point, "--out", "killed"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ok(p.wait(timeout=120 * slow) == 0 and times >= 2, "killed %d times, the last run completes" % times)
    ok(digest(os.path.join(folder, "killed", "long", "demos", "demos.hdf5")) == digest(want), "the same bytes as the undisturbed run")
    r = run("run", script, "--plugins", point, "--out", "killed", cwd=folder)
    ok(r.returncode == 0 and "up to date" in r.stderr, "and then there is nothing to do", r.stderr)
    left = [f for d, _, names in os.walk(os.path.join(folder, "killed")) for f in names if f.endswith(".tmp")]
    ok(not left, "no unfinished file stays behind", left)


def dead_end():
    script = program("breaks", roll % 6, body=", break_at = 7")
    r = run("run", script, "--plugins", point, "--out", "out", cwd=folder)
    ok(r.returncode == 1 and one_sentence(r, "demos"), "a body that breaks fails its job with 1: " + r.stderr.strip()[-140:], r.stderr)
    if os.path.exists("/dev/full"):
        with open("/dev/full", "w") as full:
            r = subprocess.run([evla, "plugins"], stdout=full, stderr=subprocess.PIPE, text=True)
        ok(r.returncode == 1, "a list that could not be printed is a failure", r.returncode)
    else:
        skip("a list that could not be printed", "there is no /dev/full")


folder = tempfile.mkdtemp(prefix="evla-bad-")
try:
    damaged()
    full_disk()
    interrupted()
    dead_end()
finally:
    shutil.rmtree(folder, ignore_errors=True)
done()
