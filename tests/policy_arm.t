#!/usr/bin/python3
"""policy_arm.t -- the kinematics inside the coffee policy: its section "the arm" as a graph of its own, on random joints, against
the Panda's published Denavit-Hartenberg table multiplied out here, differentiated by central differences."""
import os
import subprocess
import sys
import tempfile
from tap import done, ok

try:
    import numpy as np
    from bundle import bundle
except ImportError:
    print("1..0 # SKIP python3-numpy is not installed")
    sys.exit(0)

build = os.path.abspath(os.environ.get("EVLA_BUILD", "build"))
root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# a (m), d (m), alpha (rad) of modified Denavit-Hartenberg, frankaemika.github.io/docs/control_parameters
TABLE = [(0, 0.333, 0), (0, 0, -np.pi / 2), (0, 0.316, np.pi / 2), (0.0825, 0, np.pi / 2), (-0.0825, 0.384, -np.pi / 2),
         (0, 0, np.pi / 2), (0.088, 0, np.pi / 2)]
BASE, TOOL = 0.10, 0.107 + 0.1034 # m: shoulder column; flange, and on to between the finger tips


def pose(q):
    t = np.eye(4)
    t[2, 3] = BASE
    for (a, d, alpha), angle in zip(TABLE, q):
        ca, sa, c, s = np.cos(alpha), np.sin(alpha), np.cos(angle), np.sin(angle)
        t = t @ np.array([[c, -s, 0, a], [s * ca, c * ca, -sa, -d * sa], [s * sa, c * sa, ca, d * ca], [0, 0, 0, 1]])
    return t[:3, :3], t[:3, 3] + TOOL * t[:3, 2]


def jacobian(q, h=1e-5):
    out = np.zeros((6, 7))
    for k in range(7):
        step = np.eye(7)[k] * h
        (r0, p0), (r1, p1) = pose(q - step), pose(q + step)
        w = (r1 - r0) / (2 * h) @ pose(q)[0].T
        out[:, k] = [*(p1 - p0) / (2 * h), w[2, 1], w[0, 2], w[1, 0]]
    return out


with open(os.path.join(root, "scripts/evla/models/coffee_policy.lua")) as f:
    arm = f.read().split("-- ---- what is learned")[0]
with tempfile.TemporaryDirectory(prefix="evla-arm-") as work:
    os.mkdir(os.path.join(work, "models"))
    with open(os.path.join(work, "models/arm.lua"), "w") as f:
        f.write(arm + 'return { graphs = function() return { arm = function(g)\n'
                '  local joints = g:input("joints", "f32[B,7]")\n'
                '  g:output("speed", speeds(g, joints, jacobian(g, joints), g:input("twist", "f32[B,6]")))\n'
                '  g:output("press", pressing(g, joints, jacobian(g, joints)))\nend } end }\n')
    with open(os.path.join(work, "p.lua"), "w") as f:
        f.write('local evla = require "evla"\nlocal m = evla.model "arm" {}\n'
                'return evla.program { m, evla.apply "run" { model = m, symbols = { B = 200 }, runs = 1 } }\n')
    run = subprocess.run([os.path.join(build, "evla"), "run", os.path.join(work, "p.lua"), "--out", work, "-q"],
                         capture_output=True, text=True)
    ok(run.returncode == 0, "the arm is a graph of its own", run.stderr)
    parts = bundle(os.path.join(work, "p/run/outputs.evla"))[1]
    joints, twist, speed = (parts[n].astype("f8") for n in ("i:joints", "i:twist", "o:speed"))
    command, press = parts["i:obs/joint_command"].astype("f8"), parts["o:press"].astype("f8")
    up = np.array([jacobian(q)[2] @ (c - q) for q, c in zip(joints, command)])
    want = np.tanh(1000 * np.minimum(up + 0.0006, 0))
    ok(np.abs(press[:, 0] - want).max() < 2e-3 and (want < -0.9).any() and np.all(press[up > -0.0005] == 0),
       "what stops the hand on its way down is felt, what lies within the slack is not", np.abs(press[:, 0] - want).max())
    worst = far = 0
    for q, t, v in zip(joints, twist, speed):
        j = jacobian(q)
        ease = np.diag([1, 1, 1, 1, 0.002 + 0.2 * min(1, 4 * np.sin(q[5]) ** 2), 1, 1])
        rest = np.array([0, 0, -1.2 * q[2], 0, -2 * q[4], 0, 0])
        want = rest + ease @ j.T @ np.linalg.solve(j @ ease @ j.T + 0.02 ** 2 * np.eye(6), t - j @ rest)
        worst = max(worst, np.abs(v - want).max() / np.abs(want).max())
        if np.linalg.svd(j @ np.sqrt(ease), compute_uv=False)[-1] > 0.1:
            far = max(far, np.abs(j @ v - t).max())
    ok(worst < 1e-3, "damped least squares on the published table", f"off by {worst:.2g} of the largest speed")
    ok(0 < far < 0.05, "away from singular places the hand moves as told", f"off by {far:.2g} m/s or rad/s")
done()
