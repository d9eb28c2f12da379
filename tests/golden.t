#!/usr/bin/python3
"""golden.t -- evla golden: a policy's stages as they were recorded, against float64, another file, fewer bits and planted errors; and
records that were damaged."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
import tap
from op_oracle import np

root = os.path.dirname(here)
build = os.path.abspath(os.environ.get("EVLA_BUILD", os.path.join(root, "build")))
evla = os.path.join(build, "evla")
data = os.path.abspath(os.environ.get("EVLA_TEST_DATA", os.path.join(root, "..", "shared", "data")))
tiny, mini = os.path.join(data, "smolvla_tiny"), os.path.join(data, "vla", "mini_vla_libero.safetensors")
gguf, case = os.path.join(tiny, "smolvla-tiny.gguf"), os.path.join(tiny, "caseA")
tap.need(evla, gguf, mini, *(os.path.join(build, "plugins", p + ".so") for p in ("gguf", "safetensors", "npy")))
work = tempfile.TemporaryDirectory(prefix="evla-golden-")
at = lambda *name: os.path.join(work.name, *name)


def golden(*args):
    done = subprocess.run([evla, "golden", *args, "--out", at("out")], cwd=work.name, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


# ---- written ----
code, text = golden("write", gguf, "-o", "record", "--case", case)
with open(at("record", "golden.json")) as f:
    record = json.load(f)
names = [s["name"] for s in record["stages"]]
tap.ok(code == 0 and len(names) == 70 and names[0] == "pixels" and names[-1] == "action", "every stage is recorded, in the order in which they are made", text)
far = {}
for name in os.listdir(os.path.join(case, "ref64")):
    a, b = np.load(at("record", "stages", name)).astype("f8"), np.load(os.path.join(case, "ref64", name))
    far[name] = np.linalg.norm(a - b) / np.linalg.norm(b)
tap.ok(max(far.values()) < 1e-5, f"as float64 has them, within 1e-5 ({max(far.values()):.2g})", far)
tap.ok(record["kind"] == "smolvla" and len(record["sha256"]) == 64 and record["made_by"].startswith("evla ") and record["numerics"]["coarsest"] == "f32"
       and record["numerics"]["machine"], "with the tool's version, the weights' hash and how numbers were computed", record)

# ---- replayed ----
code, text = golden("check", "record")
lines = text.splitlines()
tap.ok(code == 0 and len(lines) == 72 and "the file that was recorded" in lines[-1] and "all 70 stages are within 1e-05" in lines[-1]
       and re.search(r"^  action +0 +0 +1e-05  pass$", text, re.M), "the same file passes, one line a stage", text)
code, text = golden("check", "record", "--model", os.path.join(tiny, "model.safetensors"))
tap.ok(code == 0 and "not the file that was recorded" in text, "so does another file of the same weights", text)
code, text = golden("check", "record", "--type", "q8_0", "--json")
got = json.loads(text)
stages = {s["name"]: s for s in got["stages"]}
q8 = np.load(at("out", "golden", "action.npy")).astype("f8")
want = np.load(at("record", "stages", "action.npy")).astype("f8")
tap.ok(code == 0 and abs(stages["action"]["rel_l2"] - np.linalg.norm(q8 - want) / np.linalg.norm(want)) < 1e-9
       and abs(stages["action"]["max_abs"] - abs(q8 - want).max()) < 1e-9, "what fewer bits do is told as NumPy computes it", stages["action"])
tap.ok(stages["action"]["bound"] == 0.15 and stages["pixels"]["rel_l2"] == 0, "the bound goes by the coarsest number format", stages["pixels"])
code, text = golden("check", "record", "--type", "q8_0", "--within", "1e-3")
tap.ok(code == 1 and "the first stage that is off is img_emb" in text and re.search(r"^  img_emb .* is off$", text, re.M) and re.search(r"^  pixels .* pass$", text, re.M),
       "--within asks for less; the first stage that is off is named", text)

# ---- an error that is planted in the weights ----
with open(os.path.join(tiny, "model.safetensors"), "rb") as f:
    bytes = bytearray(f.read())
n = int.from_bytes(bytes[:8], "little")
first = json.loads(bytes[8:8 + n])["model.vlm_with_expert.lm_expert.layers.2.self_attn.q_proj.weight"]["data_offsets"][0] + 8 + n
bytes[first:first + 512] = bytes[first + 512:first + 1024] + b""
os.makedirs(at("planted"))
with open(at("planted", "model.safetensors"), "wb") as f:
    f.write(bytes)
for name in ("config.json", "stats.json"):
    shutil.copy(os.path.join(tiny, name), at("planted", name))
code, text = golden("check", "record", "--model", at("planted"))
tap.ok(code == 1 and "the first stage that is off is s0_aex_l2_out" in text, "256 numbers of one weight that were overwritten are found at the stage that reads them", text)

# ---- seeded inputs, another policy ----
code, text = golden("write", mini, "-o", "mini", "--seed", "7", "-q")
tap.ok(code == 0 and not text and golden("check", "mini")[0] == 0, "inputs may be drawn by lot", text)
drawn = np.fromfile(at("mini", "inputs", "noise.f32"), "<f4")
tap.ok(abs(drawn.mean()) < 0.4 and 0.7 < drawn.std() < 1.3 and np.fromfile(at("mini", "inputs", "token.i32"), "<i4")[0] < 12, "noise is normal, words are words of the model", drawn)
golden("write", mini, "-o", "mini2", "--seed", "7"), golden("write", mini, "-o", "mini3", "--seed", "8")
same = lambda a, b: open(at(a, "inputs", "image.u8"), "rb").read() == open(at(b, "inputs", "image.u8"), "rb").read()
tap.ok(same("mini", "mini2") and not same("mini", "mini3"), "the same for the same seed, others for another")

known = mini.replace(".safetensors", ".golden.json")
code, text = golden("write", mini, "-o", "known", "--case", known)
with open(known) as f:
    want = json.load(f)["cases"][0]["action"]
tap.ok(code == 0 and abs(np.load(at("known", "stages", "action.npy")).ravel() - np.ravel(want)).max() < 1e-4 and golden("check", "known")[0] == 0,
       "or the known cases of its authors, whose action is recorded", text)


# ---- what is refused ----
def refused(title, sentence, code_and_text):
    code, text = code_and_text
    tap.ok(code in (2, 3) and sentence in text and len(text.strip().splitlines()) == 1, title + " is refused in a sentence", text)


def changed(change, *files):
    """the record with another golden.json, or with files cut short"""
    shutil.rmtree(at("changed"), ignore_errors=True)
    shutil.copytree(at("record"), at("changed"))
    new = json.loads(json.dumps(record))
    change(new)
    with open(at("changed", "golden.json"), "w") as f:
        json.dump(new, f)
    for file in files:
        with open(at("changed", file), "r+b") as f:
            f.truncate(100)
    return golden("check", "changed")


refused("no folder", "holds no golden.json", golden("check", "nothing"))
refused("a record of another policy", "is a mini_vla; the record is of a smolvla", golden("check", "record", "--model", mini))
refused("a model that is no policy", "it is no policy that is known", golden("check", "record", "--model", os.path.join(data, "llm", "stories260K-f32.gguf")))
refused("a model that is not there", "--model says where the model is", golden("check", "record", "--model", "gone.gguf"))
refused("a folder that holds one already", "holds a golden run already", golden("write", mini, "-o", "record"))
refused("a case without a file", "holds no images.u8", golden("write", gguf, "-o", "x", "--case", at("record")))
refused("a case of another policy", "want a file, found a folder", golden("write", mini, "-o", "x", "--case", case))
refused("an option that means nothing", "there is no --seed; check has --model, --type, --within", golden("check", "record", "--seed", "3"))
refused("a bound that is no number", "--within: want a share", golden("check", "record", "--within", "much"))
refused("a word that is neither", 'want "write" or "check"', golden("read", "record"))
refused("an input that was changed", "its input state is not the one that was recorded", changed(lambda g: None, "inputs/state.f32"))
refused("a stage that was cut off", "stages/pixels.npy: its header ends behind the file", changed(lambda g: None, "stages/pixels.npy"))
refused("a stage of another type", "its stage pixels is f32[2,3,128,128]; f32[3] was recorded", changed(lambda g: g["stages"][0].update(type="f32[3]")))
refused("a stage that is not there", "its stage nobody is not there", changed(lambda g: g["stages"][0].update(name="nobody")))
refused("a stage elsewhere", "has a stage without a name", changed(lambda g: g["stages"][0].update(name="../inputs/x")))
refused("no stages", "has no stages", changed(lambda g: g.update(stages=[])))
refused("a size that is none", 'its size "inner" is none', changed(lambda g: g["sizes"].update(inner=1)))
refused("a later version", "is of version 9; this engine knows 1", changed(lambda g: g.update(version=9)))
refused("another number of cameras", "its input images is u8[3,128,128,3]; u8[2,128,128,3] was recorded", changed(lambda g: g["sizes"].update(cameras=3)))
with open(at("changed", "golden.json"), "w") as f:
    f.write("{")
refused("a record that is no JSON", "golden.json: is no JSON object", golden("check", "changed"))
tap.done()
