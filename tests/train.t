#!/usr/bin/python3
"""train.t -- evla.train as a person uses it: killed at many moments it ends with the same bytes; it learns from a
file of somebody else's; whatever cannot work is one sentence before anything runs."""
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from tap import done, need, ok

here = os.path.dirname(os.path.abspath(__file__))
build = os.path.abspath(os.environ.get("EVLA_BUILD", os.path.join(here, "..", "build")))
evla = os.path.join(build, "evla")
slow = 5 if os.environ.get("EVLA_SAN") else 1
need(*(os.path.join(build, name) for name in ("evla", "plugins/mujoco.so", "plugins/hdf5.so", "plugins/ops.so", "plugins/half.so")))


def run(*words):
    return subprocess.run([evla, *words], cwd=folder, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, timeout=200 * slow)


def write(name, text):
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)
    return path


def digest(*path):
    with open(os.path.join(folder, *path), "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def figures(text, job="policy"):
    return next(j for j in json.loads(text)["jobs"] if j["name"] == job)["figures"]


REACHER = """
local function normal(g, name, type)
  return g.div { g.sub { g:input(name, "f32[B," .. type .. "]"), g:weight(name .. ".mean", "f32[" .. type .. "]", "mean:" .. name) },
    g:weight(name .. ".std", "f32[" .. type .. "]", "std:" .. name) }
end
return function(p)
  local function act(g)
    local x = g.concat { normal(g, "obs/joint_pos", "7"), normal(g, "obs/eef_pos", "3"), g:input("obs/goal", "f32[B,3]"), axis = -1 }
    x = g.gelu { g.linear { x, w = "1.w", b = "1.b", out = 48 } }
    return g.linear { g.gelu { g.linear { x, w = "2.w", b = "2.b", out = 48 } }, w = "3.w", b = "3.b", out = 8 }
  end
  return {
    policy = function(g) g:output("action", act(g)) end,
    loss = function(g) g:output("loss", g.mse_loss { act(g), g:input("actions", "f32[B,8]") }) end,
  }
end
"""

PROGRAM = """
local evla = require "evla"
local demos = evla.pipeline "demos" {
  evla.rollout { body = evla.body.mujoco { scene = "reach" }, episodes = 12, seed = 1 },
  evla.stage.hdf5 { path = "demos.hdf5" },
}
local policy = evla.train "policy" { model = evla.model "reacher" {}, data = demos, lr = 3e-3, seed = 5, %s }
return evla.program { policy, evla.apply "act" { model = policy, graph = "policy", symbols = { B = 1 }, runs = 3 } }
"""


def learns():
    write("calm.lua", PROGRAM % "steps = 3000, schedule = 'cosine'")
    r = run("run", "calm.lua", "--json")
    ok(r.returncode == 0, "a policy is learned from the engine's own episodes", r.stderr)
    if r.returncode:
        return
    f = figures(r.stdout)
    ok(f["loss_last"] < 0.4 * f["loss_first"] and f["steps"] == 3000, "the loss falls from %.3g to %.3g" % (f["loss_first"], f["loss_last"]), f)
    ok(0.2 < f["plan_share"] <= 1, "%.0f %% of the time was inside the plan, %.0f steps/s" % (100 * f["plan_share"], f["steps_per_second"]), f)
    act = figures(r.stdout, "act")
    ok(act["outputs"]["action"]["type"] == "f32[1,8]", "another job runs another graph of the trained model", act)
    curve = json.load(open(os.path.join(folder, "out/calm/policy/curve.json")))
    ok(curve["window"] == 6 and len(curve["loss"]) == 500 and curve["step"][-1] == 3000 and len(curve["valid"]["loss"]) in (0, 10),
       "the loss curve is there, six steps a point")
    r = run("run", "calm.lua", "--json")
    ok(all(j["state"] == "skipped" for j in json.loads(r.stdout)["jobs"]), "a second run skips it", r.stdout)
    r = run("run", "calm.lua", "--json", "--workers", "1", "--out", "one")
    ok(digest("one/calm/policy/policy.evla") == digest("out/calm/policy/policy.evla"), "one thread makes the same bytes", r.stderr)


def stamp(job):
    """When the checkpoint was written; 0: there is none."""
    try:
        return os.stat(os.path.join(job, "checkpoint.evla")).st_mtime_ns
    except FileNotFoundError:
        return 0


def killed():
    """SIGKILL while data is made ready, between checkpoints, inside one, at the end."""
    write("killed.lua", PROGRAM % "steps = 3000, schedule = 'cosine', checkpoint_steps = 40, checkpoint = 0")
    run("run", "killed.lua", "--only", "demos")
    job = os.path.join(folder, "out/killed/policy")
    random.seed(11)
    kills = in_write = 0
    steps = set()
    for k in range(12):
        p = subprocess.Popen([evla, "run", "killed.lua"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        before = stamp(job)
        end = time.time() + (slow * random.choice((0.02, 0.2)) if k % 3 == 0 else 60 * slow)
        while time.time() < end and p.poll() is None:
            if k % 3 == 1 and stamp(job) != before:
                time.sleep(random.choice((0, 0.003, 0.02)))
                break
            if k % 3 == 2 and stamp(job) != before and any(".tmp" in n for n in os.listdir(job)):
                in_write += 1
                break
        if p.poll() is None:
            kills += 1
            p.send_signal(signal.SIGKILL)
        said = p.communicate()[1]
        steps.update(w for line in said.splitlines() if "goes on from step" in line for w in line.split() if w.isdigit())
    r = run("run", "killed.lua")
    ok(r.returncode == 0 and kills >= 4, "killed %d times, %d of them while a checkpoint was written, the last run ends" % (kills, in_write), r.stderr)
    ok(len(steps) >= 2, "runs went on from steps %s" % ", ".join(sorted(steps, key=int)))
    ok(digest("out/killed/policy/policy.evla") == digest("out/calm/policy/policy.evla"), "with the bytes of a run that nobody disturbed")
    left = [n for n in os.listdir(job) if ".tmp" in n]
    ok(not left, "nothing half written stays behind", left)
    write("killed.lua", PROGRAM % "steps = 300, checkpoint_steps = 40, checkpoint = 0")
    r = run("run", "killed.lua")
    ok(r.returncode == 0 and "goes on" not in r.stderr and os.path.exists(job + ".old/checkpoint.evla"), "another number of steps is another job: it starts anew", r.stderr)


def stopped():
    write("stopped.lua", PROGRAM % "steps = 200000")
    p = subprocess.Popen([evla, "run", "stopped.lua"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not os.path.isdir(os.path.join(folder, "out/stopped/policy")) and p.poll() is None:
        time.sleep(0.01)
    time.sleep(0.5 * slow)
    p.send_signal(signal.SIGINT)
    said = p.communicate(timeout=60 * slow)[1]
    ok(p.returncode == 130 and "of 200000 steps" in said, "Ctrl-C stops with 130: " + said.strip()[-120:], said)
    ok(os.path.exists(os.path.join(folder, "out/stopped/policy/checkpoint.evla")), "what was learned so far is kept")


IMITATE = """
return function(p)
  local function act(g)
    local x = g:input("states", "f32[B,32]")
    x = g.div { g.sub { x, g:weight("mean", "f32[32]", "mean:states") }, g:weight("std", "f32[32]", "std:states") }
    return g.linear { g.tanh { g.linear { x, w = "1.w", b = "1.b", out = 64 } }, w = "2.w", b = "2.b", out = 7 }
  end
  return {
    policy = function(g) g:output("action", act(g)) end,
    loss = function(g) g:output("loss", g.mse_loss { act(g), g:input("actions", "f32[B,7]") }) end,
  }
end
"""


def no_dataset():
    refused("text.lua", 'return evla.train "policy" { model = evla.model "imitate" {}, data = evla.dataset "mine" { path = "text.lua" } }\n',
            "is no HDF5 file", "what is no dataset, once and not for every job behind it,")


def somebody_elses():
    robot = os.path.join(os.environ.get("EVLA_TEST_DATA", ""), "robot")
    names = ("panda_lift", "panda_stack")
    if not all(os.path.exists(os.path.join(robot, n + ".demo.hdf5")) for n in names):
        ok(True, "somebody else's file # SKIP EVLA_TEST_DATA does not hold it")
        return
    for n in names:
        shutil.copy(os.path.join(robot, n + ".demo.hdf5"), os.path.join(folder, n + ".hdf5"))
    write("own.lua", 'local evla = require "evla"\nlocal lift = evla.dataset "lift" { path = "panda_lift.hdf5" }\n'
          'return evla.train "policy" { model = evla.model "imitate" {}, data = lift, steps = 300, lr = 3e-3 }\n')
    r = run("run", "own.lua", "--json")
    ok(r.returncode == 0, "somebody else's demonstration is learned from, f64 and without masks", r.stderr)
    if r.returncode == 0:
        f = figures(r.stdout)
        ok(f["rows"] == 412 and f["loss_last"] < 0.3 * f["loss_first"], "412 rows, the loss falls from %.3g to %.3g" % (f["loss_first"], f["loss_last"]), f)
    refused("both.lua", 'local lift, stack = evla.dataset "lift" { path = "panda_lift.hdf5" }, evla.dataset "stack" { path = "panda_stack.hdf5" }\n'
            'return evla.train "policy" { model = evla.model "imitate" {}, data = { lift, stack } }\n',
            "stack: a row of states is f64[45], but the input wants f32[32]", "a dataset of another robot")
    refused("mask.lua", 'return evla.train "policy" { model = evla.model "imitate" {}, data = evla.dataset "lift" { path = "panda_lift.hdf5" }, mask = "good" }\n',
            "mask/good", "a mask that the file lacks and that was asked for")


def refused(name, text, part, title, code=2):
    write(name, 'local evla = require "evla"\n' + text)
    r = run("check", name)
    ok(r.returncode in (2, 3) and part in r.stderr and name in r.stderr and len([x for x in r.stderr.splitlines() if x.startswith("evla: ")]) == 1,
       title + " is refused: " + r.stderr.strip()[:150], r.stderr)


folder = tempfile.mkdtemp(prefix="evla-train-")
write("models/reacher.lua", REACHER)
write("models/imitate.lua", IMITATE)
try:
    learns()
    killed()
    stopped()
    no_dataset()
    somebody_elses()
finally:
    shutil.rmtree(folder, ignore_errors=True)
done()
