#!/usr/bin/python3
"""replay_stored.t -- stored episodes happen again bit for bit; a changed bit in the file is found."""
import os
import subprocess
import sys
import tempfile
from tap import done, need, ok

os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
build = os.environ.get("EVLA_BUILD", "build")
evla = os.path.join(build, "evla")
body = os.path.join(build, "tests", "plugins", "body_point.so")
try:
    import h5py
    import numpy as np
except ImportError:
    print("1..0 # SKIP python3-h5py is not installed")
    sys.exit(0)
need(evla, body, os.path.join(build, "plugins", "hdf5.so"))
def run(folder, name, stages):
    path = os.path.join(folder, name + ".lua")
    with open(path, "w", encoding="utf-8") as f:
        f.write('local evla = require "evla"\nreturn evla.program { evla.pipeline "job" {\n' + stages + "} }\n")
    p = subprocess.run([evla, "run", path, "--trust", "--plugins", body, "--out", folder], capture_output=True,
                       text=True)
    return p.returncode, p.stdout + p.stderr


with tempfile.TemporaryDirectory() as d:
    code, text = run(d, "record", """
      evla.rollout { body = evla.body.point { fail_every = 4 }, policy = "expert", episodes = 20, seed = 3 },
      evla.stage.hdf5 { path = "demos.hdf5" },
    """)
    ok(code == 0 and "20 of 20 episodes kept" in text, "twenty episodes are recorded, failures among them")
    data = os.path.join(d, "record", "job", "demos.hdf5")
    again = f'evla.stage.hdf5 {{ path = "{data}" }},\nevla.stage.replay {{ body = evla.body.point {{ fail_every = 4 }} }},\n'
    code, text = run(d, "again", again)
    ok(code == 0 and "20 of 20 episodes kept" in text, "from the file all of them happen again")
    code, text = run(d, "other", again.replace("fail_every = 4", "rate = 50"))
    ok(code == 0 and "0 of 20 episodes kept" in text and "differs at tick 1:" in text,
       "in a body with other parameters none does, and the tick is told")
    with h5py.File(data, "r") as f:
        link = f["data"].get("demo_7", getlink=True)
        where = (os.path.join(os.path.dirname(data), link.filename), link.path) \
            if isinstance(link, h5py.ExternalLink) else (data, "data/demo_7")
    with h5py.File(where[0], "r+") as f:
        states = f[where[1]]["states"]
        row = states[40]
        row.view(np.uint64)[0] ^= np.uint64(1)
        states[40] = row
    code, text = run(d, "changed", again)
    ok(code == 0 and "19 of 20 episodes kept" in text and "differs at tick 40: state[0]" in text,
       "one changed bit in one state of the file is found", text)
done()
