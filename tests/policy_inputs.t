#!/usr/bin/python3
"""policy_inputs.t -- what the coffee policy is told: the robot's own joints, poses as a sensor gives them, and the sentence.
No stage, clock, goal or simulator's truth. Read from the saved model by its own text (bundle.py)."""
import os
import subprocess
import sys
import tempfile
from tap import done, ok

try:
    from bundle import bundle
except ImportError:
    print("1..0 # SKIP python3-numpy is not installed")
    sys.exit(0)

build = os.path.abspath(os.environ.get("EVLA_BUILD", "build"))
if not os.path.exists(os.path.join(build, "plugins/words.so")):
    print("1..0 # SKIP the words plugin is not built")
    sys.exit(0)
root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

PROPRIOCEPTION = {"obs/joint_pos", "obs/joint_vel", "obs/joint_torque", "obs/joint_command", "obs/gripper_pos",
                  "obs/gripper_force", "obs/eef_pos", "obs/eef_quat"}
SENSED = {"obs/sensed_pose", "obs/sensed_age"}

with tempfile.TemporaryDirectory(prefix="evla-inputs-") as work:
    with open(os.path.join(work, "m.lua"), "w") as f:
        f.write('local evla = require "evla"\nreturn evla.program { evla.model "coffee_policy" {} }\n')
    run = subprocess.run([os.path.join(build, "evla"), "run", os.path.join(work, "m.lua"), "--out", work, "-q"],
                          capture_output=True, text=True, cwd=root)
    ok(run.returncode == 0, "the model is made", run.stderr)
    header, parts = bundle(os.path.join(work, "m/coffee_policy/coffee_policy.evla"))
    graphs = {g["name"]: g for g in header["head"]["graphs"]}
    told = {name: {i[0] for i in g["inputs"]} for name, g in graphs.items()}
    ok(told["slow"] == {"instruction", "obs/sensed_pose"}, "slow is told the sentence and sensed poses", told["slow"])
    made = {o[0] for o in graphs["slow"]["outputs"]}
    ok(told["fast"] <= PROPRIOCEPTION | SENSED | made, "fast is told its own joints and what slow made of the scene", told["fast"])
    ok(not told["fast"] & {"obs/joint_vel", "obs/joint_torque"}, "and no speed or torque, which a learner would copy", told["fast"])
    # The command says what was done last. All that may come of it is whether the hand stands on something: one squashed number.
    value, way = "i:obs/joint_command", []
    while value and (not way or way[-1] != "tanh"):
        readers = [n for n in graphs["fast"]["nodes"] if value in n["in"]]
        way += [n["op"] for n in readers]
        value = readers[0]["id"] if len(readers) == 1 else None
    ok(value and "minimum" in way, "of the command it learns only what lies beyond the slack, in one squashed number", way)
    nodes = graphs["slow"]["nodes"]
    heard = [n["in"][0] for n in nodes if any("intent.w" in i for i in n["in"])]
    ok(len(heard) == 1 and sum(heard[0] in n["in"] for n in nodes) == 1,
       "what slow does with the words goes through the goal that it heard, which is supervised", heard)
    states = [s for g in graphs.values() for s in g.get("states", [])]
    ok(not states, "neither keeps a clock or a stage from tick to tick", states)
    ok(made == {"goal_features"} and {o[0] for o in graphs["fast"]["outputs"]} == {"action"}, "they make goal features and an action")
done()
