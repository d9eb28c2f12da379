#!/usr/bin/python3
"""call.t -- evla.call: what is expected of an output, and what is shown of it, when some of its numbers are none."""
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tap

evla = os.path.join(os.path.abspath(os.environ.get("EVLA_BUILD", "build")), "evla")
tap.need(evla)
work = tempfile.TemporaryDirectory(prefix="evla-call-")
at = lambda *name: os.path.join(work.name, *name)
os.makedirs(at("models"))
with open(at("models", "ratio.lua"), "w") as f:
    f.write('return function() return { ratio = function(g) g:output("y", g.div { g:input("a", "f32[4]"), g:input("b", "f32[4]") }) end } end\n')


def call(a, b, more):
    with open(at("p.lua"), "w") as f:
        f.write(f"""local evla = require "evla"
local m = evla.model "ratio" {{}}
return evla.program {{ m, evla.call "ratio4" {{ model = m, schedule = {{ {{ graph = "ratio" }} }}, values = {{ a = {{ {a} }}, b = {{ {b} }} }}, {more} }} }}
""")
    r = subprocess.run([evla, "run", at("p.lua"), "--out", at("out")], cwd=work.name, capture_output=True, text=True)
    return r.returncode, r.stdout + r.stderr


expect = lambda y, within=0.5: f"expect = {{ y = {{ {y} }} }}, within = {within}"
code, text = call("1, 2, 3, 4", "1, 2, 3, 8", expect("1, 1, 1, 0.6"))
tap.ok(code == 0, "a ratio that is near enough is what was expected", text)
code, text = call("1, 2, 3, 4", "1, 2, 3, 8", expect("1, 1, 1, 1.1"))
tap.ok(code == 1 and "output y is off by 0.6 from what is expected; want at most 0.5" in text, "one that is not fails the job", text)
for i in range(4):
    a, b = ["1"] * 4, ["1"] * 4
    a[i] = b[i] = "0"
    code, text = call(", ".join(a), ", ".join(b), expect("1, 1, 1, 1", 1e9))
    tap.ok(code == 1 and "nan from what is expected" in text, f"no number in place {i} fails it, whatever stands behind", text)
code, text = call("1, 1, 1, 1", "1, 0, 1, 1", expect("1, 1, 1, 1", 1e9))
tap.ok(code == 1 and "off by inf from what is expected" in text, "so does one without an end", text)
code, text = call("0, 1, -1, 3", "0, 0, 0, 2", 'show = { "y" }')
line = next((l.split() for l in text.splitlines() if l.split()[:1] == ["y"]), [])
tap.ok(code == 0 and [w.lstrip("-") for w in line[1:2]] == ["nan"] and line[2:] == ["inf", "-inf", "1.5"], "they are shown as what they are", text)
tap.done()
