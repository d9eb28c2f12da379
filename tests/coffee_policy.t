#!/usr/bin/python3
"""coffee_policy.t -- what the coffee policy may read: proprioception, sensed poses and the sentence, and nothing else.

The list here is the requirement, not a copy of the model file: an input that is not on it fails the test."""
import os
import re
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
from op_oracle import Tap

root = os.path.dirname(here)
evla = os.path.join(os.path.abspath(os.environ.get("EVLA_BUILD", os.path.join(root, "build"))), "evla")
tap = Tap()

BODY = {"obs/joint_pos": "f32[B,7]", "obs/joint_vel": "f32[B,7]", "obs/joint_torque": "f32[B,7]", "obs/joint_command": "f32[B,7]",
        "obs/gripper_pos": "f32[B,2]", "obs/gripper_force": "f32[B,1]", "obs/eef_pos": "f32[B,3]", "obs/eef_quat": "f32[B,4]"}
SENSED = {"obs/sensed_pose": "f32[B,9,7]", "obs/sensed_age": "f32[B,1]"}
SAID = {"instruction": "u8[B,96]"}


def inputs(text, graph):
    """name: type of the inputs that evla inspect lists for a graph."""
    part = re.search(rf"^graph {graph}$(.*?)(?=^graph |^weights)", text, re.M | re.S).group(1)
    return dict(re.findall(r"^  input\s+(\S+)\s+(\S+)$", part, re.M))


with tempfile.TemporaryDirectory() as work:
    program = os.path.join(work, "made.lua")
    with open(program, "w") as f:
        f.write('local evla = require "evla"\nreturn evla.program { evla.model "coffee_policy" {} }\n')
    made = subprocess.run([evla, "run", program, "--out", os.path.join(work, "out")], capture_output=True, text=True, cwd=work)
    tap.ok(made.returncode == 0, "the model is made" + ("" if made.returncode == 0 else ": " + made.stderr[-300:]))
    file = os.path.join(work, "out/made/coffee_policy/coffee_policy.evla")
    told = subprocess.run([evla, "inspect", file], capture_output=True, text=True, cwd=work).stdout

slow, fast, loss = (inputs(told, g) for g in ("slow", "fast", "loss"))
for name, found, allowed in (("slow", slow, BODY | SENSED | SAID), ("fast", fast, BODY)):
    features = {k: v for k, v in found.items() if k != "goal_features"}
    odd = {k: v for k, v in features.items() if allowed.get(k) != v}
    tap.ok(features and not odd, f"{name} reads {' '.join(found)}" + (f"; not allowed: {odd}" if odd else ""))
tap.ok("instruction" in slow and "obs/sensed_pose" in slow, "slow hears the sentence and sees the poses")
tap.ok("goal_features" in fast and "goal_features" not in slow, "fast reads what slow made")
read = set(slow) | set(fast) - {"goal_features"}
tap.ok(set(loss) - read <= {"expert_actions", "obs/goal"}, f"learning adds {' '.join(sorted(set(loss) - read))}, as targets")
with open(os.path.join(root, "scripts/evla/models/coffee_policy.lua")) as f:
    lines = f.read().count("\n")
tap.ok(lines < 150, f"the model file has {lines} lines")
weights = sum(eval(re.sub(",", "*", shape)) for shape in re.findall(r"^  \S+\s+f32\[([\d,]+)\]", told.split("\nweights")[1], re.M))
tap.ok(100_000 < weights < 1_500_000, f"and {weights} weights")
tap.done()
