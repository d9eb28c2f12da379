#!/usr/bin/python3
"""summary_schema.t -- a real summary.json is what schemas/summary.json says, and every number there has a unit."""
import json
import os
import subprocess
import tempfile
from tap import done, ok

def walk(schema, at="", in_units=False):
    """Numbers without a unit."""
    if schema.get("type") in ("number", "integer") and "unit" not in schema:
        yield at
    for name, sub in schema.get("properties", {}).items():
        yield from walk(sub, f"{at}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from walk(schema[key], f"{at}[]")


TYPES = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float)}


def check(v, schema, at="summary"):
    """Mistakes, by the few keywords that the schema uses."""
    if "enum" in schema and v not in schema["enum"]:
        yield f"{at}: {v!r} is none of {schema['enum']}"
    kind = schema.get("type")
    if kind and (not isinstance(v, TYPES[kind]) or isinstance(v, bool)):
        yield f"{at}: want {kind}, found {v!r}"
        return
    if isinstance(v, (int, float)) and not isinstance(v, bool):
        if v < schema.get("minimum", v) or v > schema.get("maximum", v):
            yield f"{at}: {v} is out of range"
    if isinstance(v, list):
        if not schema.get("minItems", 0) <= len(v) <= schema.get("maxItems", len(v)):
            yield f"{at}: {len(v)} entries"
        for i, x in enumerate(v):
            yield from check(x, schema.get("items", {}), f"{at}[{i}]")
    if isinstance(v, dict):
        for name in schema.get("required", []):
            if name not in v:
                yield f"{at}: {name} is missing"
        for name, x in v.items():
            sub = schema.get("properties", {}).get(name, schema.get("additionalProperties", {}))
            if sub is False:
                yield f"{at}: the schema does not know {name}"
            else:
                yield from check(x, sub, f"{at}.{name}")


os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
build = os.environ.get("EVLA_BUILD", "build")
evla = os.path.join(build, "evla")
body = os.path.join(build, "tests", "plugins", "body_point.so")
with open("schemas/summary.json", encoding="utf-8") as f:
    schema = json.load(f)
bare = list(walk(schema))
ok(not bare, "every number has a unit " + " ".join(bare))
good = {"program": "x", "jobs": [], "versions": {"evla": "0.1.0"}}
ok(not list(check(good, schema)), "the smallest summary passes")
ok(list(check({**good, "kept": -1}, schema)) == ["summary.kept: -1 is out of range"]
   and list(check({**good, "keep": 1}, schema)) == ["summary: the schema does not know keep"]
   and list(check({"program": "x", "jobs": []}, schema)) == ["summary: versions is missing"],
   "a damaged one does not")
if not os.path.exists(evla) or not os.path.exists(body):
    ok(True, "a real one # SKIP evla or body_point.so is not built")
else:
    program = """
local evla = require "evla"
local point = evla.body.point { fail_every = 4, fail = "bounds" }
return evla.program {
  evla.pipeline "demos" {
    evla.rollout { body = point, policy = "expert", episodes = 40, seed = 3 },
    evla.stage.sanity { reject = { "not_finite", "out_of_bounds", "task_failed" } },
    evla.stage.replay { body = point },
  },
}
"""
    with tempfile.TemporaryDirectory() as d:
        with open(os.path.join(d, "point.lua"), "w", encoding="utf-8") as f:
            f.write(program)
        run = subprocess.run([evla, "run", os.path.join(d, "point.lua"), "--plugins", body, "--out", d],
                             capture_output=True, text=True)
        ok(run.returncode == 0, "a small program runs " + run.stderr.strip().replace("\n", "; "))
        with open(os.path.join(d, "point", "summary.json"), encoding="utf-8") as f:
            s = json.load(f)
        wrong = list(check(s, schema))
        ok(not wrong, "its summary is what the schema says " + "; ".join(wrong))
        ok(s["seeds"] == {"demos": 3}, "and says the seed of whatever drew something")
        ok(s["episodes"] == 40 and s["kept"] + sum(s["discarded"].values()) == 40,
           "attempted = kept + discarded")
        ok(set(s["discarded"]) == {"out_of_bounds"} and 3 <= s["discarded"]["out_of_bounds"] <= 20,
           "about a quarter is discarded, for the one reason there is")
done()
