#!/usr/bin/python3
"""recipe_policy.t -- pipelines/quantise.lua: policies of several graphs become codes by cases instead of rows; every stage's error in
the scorecard against NumPy on dumps of both models, bounds that are missed, number formats as quantisers, what is refused."""
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import zlib

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
import tap
from op_oracle import np

root = os.path.dirname(here)
build = os.path.abspath(os.environ.get("EVLA_BUILD", os.path.join(root, "build")))
evla = os.path.join(build, "evla")
data = os.path.abspath(os.environ.get("EVLA_TEST_DATA", os.path.join(root, "..", "shared", "data")))
tiny, vla = os.path.join(data, "smolvla_tiny"), os.path.join(data, "vla")
gguf, mini = os.path.join(tiny, "smolvla-tiny.gguf"), os.path.join(vla, "mini_vla_libero.safetensors")
tap.need(evla, gguf, mini, os.path.join(build, "plugins", "int8.so"), os.path.join(build, "plugins", "round.so"))
work = tempfile.TemporaryDirectory(prefix="evla-recipe-policy-")
at = lambda *name: os.path.join(work.name, *name)


def run(script, *words):
    done = subprocess.run([evla, "run", script, "--out", at("out"), *words], cwd=work.name, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def quantise(*words):
    code, text = run(os.path.join(root, "pipelines", "quantise.lua"), *words, "--runs", "3")
    card = None
    if code == 0:
        with open(at("out", "quantise", "small", "scorecard.json")) as f:
            card = json.load(f)
    return code, text, card


def call(pipeline, model, *words):
    return run(os.path.join(root, "pipelines", pipeline + ".lua"), "--model", model, *words)


def stages(card, before, after):
    """the largest difference between the scorecard and what the two folders say, and how many stages there are"""
    worst, n = 0.0, 0
    for s in card["stages"]:
        a, b = (np.load(os.path.join(folder, s["stage"] + ".npy")).astype("f8").ravel() for folder in (before, after))
        gap = a - b
        want = np.linalg.norm(gap) / np.linalg.norm(a), np.abs(gap).max()
        for x, y in zip((s["error"], s["max_abs"]), want):
            worst = max(worst, abs(x - y) / max(y, 1e-6))
        n += 1
    return worst, n


def png(width, height):
    """a grey picture"""
    part = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", zlib.compress((b"\0" + b"\x80" * width) * height)) + part(b"IEND", b"")


case_a, small = ("--case", os.path.join(tiny, "caseA")), at("out", "quantise", "small", "small.evla")
with open(at("words.json"), "w") as f:
    f.write('{ "pick up the cup": 2 }')
code, text = call("smolvla", gguf, *case_a, "--dump", at("f32"))
tap.ok(code == 0, "f32: dumps its stages", text)
case = ("--model", gguf, *case_a, "--license", "mit", "--tokenizer", at("words.json"))
kinds = [("int8", 0.08), ("bf16", 0.02), ("q8_0", 0.08), ("q4_0", 0.5)]
for kind, most in kinds[::3] if os.environ.get("EVLA_SAN") else kinds:  # a sanitizer takes its time, and the formats share their code
    code, text, card = quantise(*case, "--quant", kind, "--worse_by", f"{100 * most:g}%")
    if not tap.ok(code == 0, f"{kind}: a policy becomes codes", text):
        continue
    tap.ok(card["weights_put_back"] == 0 and card["metric_coded"] <= card["metric_allowed"] == most and card["ratio"] > 1.9 and
           card["metric_cases"] == 1 and not card["metric_drawn"], f"{kind}: action off by {card['metric_coded']:.2g}, {card['ratio']:.2f} times smaller", card)
    exact = [l["decision"] for l in card["layers"] if "state_proj" in l["weight"] or "action_in" in l["weight"]]
    tap.ok(exact and set(exact) == {"f32"}, f"{kind}: what the architecture wants exact stays f32", exact)
    phases = card["phases"]
    tap.ok([p["phase"] for p in phases] == ["image", "vit_encode", "prefill", "expert"] and phases[3]["times"] == 4 and
           all(p["bytes_coded"] < p["bytes_f32"] and p["ms_coded"] > 0 for p in phases[1:]), f"{kind}: bytes and time of every phase", phases)
    code, text = call("smolvla", small, *case_a, "--type", "file", "--dump", at(kind))
    if tap.ok(code == 0, f"{kind}: pipelines/smolvla.lua opens its file alone", text):
        worst, n = stages(card, at("f32"), at(kind))
        tap.ok(n > 15 and worst < 1e-3, f"{kind}: errors of {n} stages are NumPy's, within {worst:.1g}", card["stages"])

# ---- the last one in a script's hand ----
with open(at("hand.lua"), "w") as f:
    f.write(f"""local evla = require "evla"
local p = evla.policy "{small}"
local s = p:session()
for input, file in pairs {{ images = "images.u8", tokens = "tokens.i32", state = "state.f32", x_t = "noise.f32" }} do
  local f <close> = io.open("{os.path.join(tiny, 'caseA')}/" .. file, "rb")
  s:set(input, f:read "a")
end
for _, row in ipairs(s:run():get("action"):list()) do print(table.concat(row, " ")) end
return evla.program {{ p.model }}
""")
code, text = run(at("hand.lua"), "--trust", "-q")
numbers = [line for line in text.splitlines() if re.fullmatch(r"[-+.e\d ]+", line)]
got = np.array(" ".join(numbers).split(), "f4")
tap.ok(code == 0 and np.array_equal(got, np.load(at("q4_0", "action.npy")).ravel()), "a session of the file gives the pipeline's bits", text[-300:])

with open(at("dot.png"), "wb") as f:
    f.write(png(3, 2))
code, text = call("smolvla", small, "--case", os.path.join(tiny, "caseB"), "--type", "file")
shown = subprocess.run([evla, "inspect", small], capture_output=True, text=True).stdout
tap.ok("graphs      a recipe's, of calls as they were measured: 2 cameras, texts of 12 tokens; another size takes another recipe" in shown, "evla inspect says which sizes it keeps", shown[:1500])
tap.ok(code != 0 and "a recipe wrote it, so it keeps what it was measured with (2 cameras, texts of 12 tokens): texts of 12 tokens, not texts of 48 tokens; a recipe with such cases" in text, "a call of another size is refused", text)

code, text = call("smolvla", small, "--picture", ",".join([at("dot.png")] * 2), "--type", "file")
tap.ok(code != 0 and "images of the model's own size, not pictures of 2 x 3 and 2 x 3 pixels" in text, "pictures of their own sizes, too", text)
masked = at("masked")
os.makedirs(masked)
for name in ("images.u8", "tokens.i32", "state.f32", "noise.f32"):
    os.symlink(os.path.join(tiny, "caseA", name), os.path.join(masked, name))
np.ones(2, "u1").tofile(os.path.join(masked, "image_mask.u8")), np.ones(12, "u1").tofile(os.path.join(masked, "token_mask.u8"))
code, text, card = quantise("--model", gguf, "--case", masked, "--license", "mit", "--tokenizer", at("words.json"), "--worse_by", "8%")
tap.ok(code == 0, "cases with masks: a recipe", text)
code, text = call("smolvla", small, "--type", "file", "--instruction", "pick up the cup")
tap.ok(code == 0, "whose bundle takes a text of fewer tokens", text)

# ---- bounds ----
code, text, card = quantise(*case, "--worse_by", "3%")
tap.ok(code == 0 and card["weights_put_back"] > 0 and card["metric_coded"] <= 0.03 < card["metric_without_fallback"] and
       any(l["put_back"] and l["reason"].startswith("put back: alone it takes output_error from 0 to ") for l in card["layers"]),
       "layers are put back until a bound is met", text)
code, text, card = quantise(*case, "--worse_by", "0")
tap.ok(code == 0 and card["weights_in_codes"] == 0 and card["metric_coded"] == 0, "a bound of nothing leaves f32", text)
code, text, card = quantise("--model", gguf, "--drawn", "2", "--worse_by", "50%")
tap.ok(code == 0 and card["metric_cases"] == 2 and card["metric_drawn"] and 0 < card["metric_coded"] < 0.5, "without cases two are drawn", text)
tap.ok("tokenizer is missing (--tokenizer FILE)" in text and "license is missing (--license NAME); without it evla.policy does not open it" in text and
       "license is missing (--license NAME); pack it again" in call("smolvla", small, "--type", "file")[1], "what a bundle lacks is told, and refused", text)

# ---- the public mini-vla checkpoint ----
golden = os.path.join(vla, "mini_vla_libero.golden.json")
code, text, card = quantise("--model", mini, "--case", golden, "--metric", "max_error", "--worse_by", "0.03", "--license", "mit")
tap.ok(code == 0 and card["metric_cases"] == 4 and 0 < card["metric_coded"] <= 0.03, f"mini-vla in int8: actions off by {card and card['metric_coded']:.2g} at most", text)
same = [s for s in card["stages"] if s["stage"] == f"s{card['phases'][1]['times'] - 1}_action"] if card else []
tap.ok(same and same[0]["max_abs"] == card["metric_coded"], "the metric is the last action's", same)

code, text = call("mini_vla", small, "--cases", golden, "--within", "0.03", "--runs", "1")
tap.ok(code == 0, "pipelines/mini_vla.lua opens its file, and the golden actions are that near", text)
code, text = call("mini_vla", small, "--cases", golden, "--within", "0.005", "--runs", "1")
tap.ok(code != 0 and "is off by" in text, "but no nearer", text)

# ---- what is wrong ----


def refused(title, sentence, *words):
    code, text, _ = quantise(*words)
    tap.ok(code in (1, 2) and sentence in text, title + " is refused in a sentence", text)


refused("an unknown format", 'no number format "q3_x" is loaded that can be written', *case, "--quant", "q3_x")
refused("an unknown output", 'accept: schedule: has no output called "acton"; did you mean "action"?', *case, "--output", "acton")
refused("a bound that is none", 'accept.worse_by: want a share such as "2%"', *case, "--worse_by", "little")
code, text, card = quantise(*case, "--worse_by", "50%", "--budget", "20MiB")
tap.ok(code == 0 and card["bytes_f32"] > 20 << 20 > card["bytes_coded"], "a budget that f32 would miss is the new model's", text)
refused("a budget that is missed", "memory: 1048576 bytes are allowed, but the call needs", *case, "--budget", "1MiB")
refused("cases of two sizes", "has 2 cameras and 48 tokens; want 2 cameras and 12 tokens", "--model", gguf, "--case", ",".join(os.path.join(tiny, c) for c in ("caseA", "caseB")))
refused("a case that is none", "is no JSON object", "--model", mini, "--case", mini)
tap.done()
