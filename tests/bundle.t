#!/usr/bin/python3
"""bundle.t -- policies packed as bundles: the bits of the file that they were made from, with nothing beside them; what a checkpoint
does not say is asked for by name; what evla inspect tells; and damaged bundles."""
import filecmp
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
import tap

root = os.path.dirname(here)
build = os.path.abspath(os.environ.get("EVLA_BUILD", os.path.join(root, "build")))
evla = os.path.join(build, "evla")
data = os.path.abspath(os.environ.get("EVLA_TEST_DATA", os.path.join(root, "..", "shared", "data")))
tiny = os.path.join(data, "smolvla_tiny")
gguf, words = os.path.join(tiny, "smolvla-tiny.gguf"), os.path.join(data, "tokenizer", "ggml-vocab-llama-spm.gguf")
tap.need(evla, gguf, words, os.path.join(build, "plugins", "gguf.so"), os.path.join(build, "plugins", "safetensors.so"))
work = tempfile.TemporaryDirectory(prefix="evla-bundle-")
at = lambda *name: os.path.join(work.name, *name)


def run(*args, **env):
    done = subprocess.run([evla, *args], cwd=work.name, capture_output=True, text=True, env=dict(os.environ, **env))
    return done.returncode, done.stdout + done.stderr


def act(model, *more, **env):
    return run("run", os.path.join(root, "pipelines", "smolvla.lua"), "--out", at("out"), "--model", model, *more, **env)


def pack(model, name, *more):
    return run("pack", model, "-o", at(name), *more)


def dump(model, folder, *more):
    code, text = act(model, "--case", os.path.join(tiny, "caseA"), "--dump", at(folder), *more)
    return code == 0 and sorted(os.listdir(at(folder))), text


def same(a, b):
    return a and all(filecmp.cmp(at("a", n), at("b", n), shallow=False) for n in a) and a == b


# ---- what a checkpoint does not say ----
code, text = pack(gguf, "x.evla")
tap.ok(code == 2 and "tokenizer is missing (--tokenizer FILE), pictures wants its field cameras as a count (--cameras N), license is missing (--license NAME)" in text
       and not os.path.exists(at("x.evla")), "what a checkpoint does not say is asked for by name, all at once, and nothing is written", text)
given = ("--cameras", "2", "--license", "apache-2.0", "--tokenizer", words)
code, text = run("inspect", gguf)
tap.ok(code == 0 and all(x in text for x in ("license     is missing; evla pack takes --license NAME", "x_t [10,32]", "8 numbers: -0.203204")),
       "evla inspect tells of a checkpoint what a bundle of it would lack", text)

code, text = run("inspect", tiny)
tap.ok(code == 0 and all(x in text for x in ("smolvla, which evla.policy reads", "chunk 10, expert 96", "bf16  70 tensors", "tokenizer   is missing; evla pack takes --tokenizer FILE",
       "wants its field cameras as a count; evla pack takes --cameras N", "bf16[96,256]")), "so it does of a folder: architecture, sizes, formats, what is missing", text)
told = json.loads(run("inspect", tiny, "--json")[1])
tap.ok(told["checkpoint"]["sizes"]["layers"] == 4 and [l["name"] for l in told["checkpoint"]["lacks"]] == ["tokenizer", "pictures", "license"] and len(told["tensors"]) == 123, "as JSON, too", told["checkpoint"])
os.makedirs(at("bare"))
os.symlink(os.path.join(tiny, "model.safetensors"), at("bare", "model.safetensors"))
shutil.copy(os.path.join(tiny, "config.json"), at("bare", "config.json"))
code, text = run("inspect", at("bare"))
tap.ok(code == 0 and "is not whole" in text and "the statistics action_mean are missing" in text.replace("state_mean", "action_mean"), "and says what keeps one from being opened", text)
code, text = run("inspect", data)
tap.ok(code == 3 and "it is a folder without a checkpoint; want one with model.safetensors" in text and text.count("\n") == 1, "a folder of something else is refused in a sentence", text)

# ---- one file, and nothing beside it ----
for kind, model in (("", gguf), ("", os.path.join(tiny, "model.safetensors")), ("q8_0", gguf)):
    how = ["--type", kind] if kind else []
    os.makedirs(at("alone"), exist_ok=True)
    code, text = pack(model, "alone/x.evla", *given, *how)
    a, b = dump(at("alone", "x.evla"), "a"), dump(model, "b", "--type", kind or "file")
    tap.ok(code == 0 and same(a[0], b[0]), f"{kind or 'as it is'} from {os.path.splitext(model)[1]}: every stage has the bits of the file it was made from", (text, a, b))
shutil.copy(at("alone", "x.evla"), at("whole.evla"))
code, text = pack(gguf, "plain.evla", *given, "--plain", "--rate", "30", "--names", "x,y,z,roll,pitch,yaw,grip", "--units", "m,m,m,rad,rad,rad,1")
a, b = dump(at("plain.evla"), "a"), dump(gguf, "b", "--type", "file")
tap.ok(code == 0 and same(a[0], b[0]), "so it is with --plain rows, which belong to no machine", (text, a, b))
code, text = act(at("plain.evla"), EVLA_MACHINE="portable")
tap.ok(code == 0, "and which run on another", text)
code, text = act(at("plain.evla"), "--case", os.path.join(tiny, "caseB"))
tap.ok(code == 0, "a text of another length is no new bundle", text)

with open(at("words.lua"), "w") as f:
    f.write('local evla = require "evla"\nfor _, path in ipairs { "%s", "%s" } do\n  local t = evla.tokenizer(path)\n'
            '  print(#t, table.concat(t:encode("pick up the red cup\\n", { whole = true }), " "))\nend\n'
            'return evla.program { evla.call "x" (evla.policy("%s"):call {}) }\n' % (words, at("plain.evla"), at("plain.evla")))
code, text = run("run", "--trust", at("words.lua"), "--out", at("out"))
lines = [line for line in text.splitlines() if line.startswith("32000")]
tap.ok(code == 0 and len(lines) == 2 and lines[0] == lines[1] and len(lines[0].split()) > 5, "evla.tokenizer reads the bundle's as it reads the file that it came from", text)

with open(at("tokenizer.json"), "w") as f:
    f.write("{}")
code, text = act(at("plain.evla"), "--instruction", "pick up the red cup")
tap.ok(code == 0, "an instruction goes through it, whatever else lies beside it", text)

# ---- folders: a model card, statistics and a tokenizer beside the weights ----
os.makedirs(at("folder"))
for name in ("config.json", "stats.json", "model.safetensors"):
    os.symlink(os.path.join(tiny, name), at("folder", name))
with open(at("folder", "README.md"), "w") as f:
    f.write("---\nlibrary_name: lerobot\nlicense: apache-2.0\n---\n# A policy\nlicense: not this\n")
with open(at("words.json"), "w") as f:
    json.dump({"pick up the cup": 2, "open the drawer": 3}, f)
code, text = pack(at("folder"), "folder.evla", "--cameras", "2", "--tokenizer", at("words.json"))
told = run("inspect", at("folder.evla"))[1]
tap.ok(code == 0 and "license     apache-2.0, from README.md" in told and "2 words with their ids, from words.json" in told,
       "a folder's license is that of its model card; words may be a table", (text, told))
code, text = act(at("folder.evla"), "--instruction", "open the drawer")
tap.ok(code == 0 and "action" in text, "an instruction of the table is told to the policy", text)
code, text = act(at("folder.evla"), "--instruction", "open the door")
tap.ok(code == 2 and 'is a list of texts, and "open the door" is none of them; want "open the drawer" or "pick up the cup"' in text, "another one is refused by name", text)

# ---- what it tells ----
code, text = run("inspect", at("plain.evla"))
tap.ok(code == 0 and all(x in text for x in ("bundle of smolvla", "llama of 32000 tokens", "2 cameras, 128 x 128 pixels; fitted: resize_with_pad, bilinear; colours: siglip",
       '"%s\\n", at most 48 tokens', "normal, mean 0, spread 1: x_t [10,32]; drawn anew for every answer", "action_std, 7 numbers: 0.804498",
       "7 numbers, 10 actions at once, 30 a second; x in m, y in m, z in m, roll in rad", "license     apache-2.0")), "evla inspect tells each item", text)
items = json.loads(run("inspect", at("plain.evla"), "--json")[1])["bundle"]["items"]
tap.ok(sorted(items) == ["actions", "license", "noise", "pictures", "prompt", "statistics", "tokenizer"] and items["actions"]["units"][3] == "rad", "as JSON, too", items)

# ---- the small public checkpoint, whose words stand in its metadata ----
mini = os.path.join(data, "vla", "mini_vla_libero.safetensors")
if os.path.exists(mini):
    code, text = pack(mini, "mini.evla", "--license", "mit")
    ran = run("run", os.path.join(root, "pipelines", "mini_vla.lua"), "--out", at("out"), "--model", at("mini.evla"), "--cases", mini.replace(".safetensors", ".golden.json"), "--runs", "1")
    tap.ok(code == 0 and ran[0] == 0, "a bundle of mini-vla gives the golden actions of its authors' code", text + ran[1])
else:
    tap.skip("a bundle of mini-vla gives the golden actions of its authors' code", "the checkpoint is not there")

# ---- what is refused ----


def refused(title, sentence, code_and_text):
    code, text = code_and_text
    tap.ok(code in (1, 2, 3) and sentence in text and len(text.strip().splitlines()) == 1, title + " is refused in a sentence", text)


gpt2 = os.path.join(data, "tokenizer", "ggml-vocab-gpt-2.gguf")
refused("a tokenizer of more words than the model has", "has 50257 tokens, the model 49280 rows of words", pack(gguf, "x.evla", *given[:4], "--tokenizer", gpt2))
refused("a file that is no tokenizer", "holds no tokenizer", pack(gguf, "x.evla", *given[:4], "--tokenizer", mini))
refused("two names for seven numbers", "--names: got 2 for the 7 numbers of an action", pack(gguf, "x.evla", *given, "--names", "x,y"))
refused("a rate below nothing", '--rate: want actions a second, got "-3"', pack(gguf, "x.evla", *given, "--rate", "-3"))
refused("an option without its value", "--license: what is it to be?", run("pack", gguf, "-o", at("x.evla"), "--license"))
refused("a license of a language model", "--license: is said of policies", pack(os.path.join(data, "llm", "stories260K-f32.gguf"), "x.evla", "--license", "mit"))
refused("a policy as a GGUF file", "is a policy, which is packed as a bundle", pack(gguf, "x.gguf", *given))
refused("another type than it was packed in", "its type cannot be chosen any more", act(at("whole.evla"), "--type", "q4_0"))
refused("one camera of two", "it sees through 2 cameras", act(at("whole.evla"), "--cameras", "1"))
if "planned for  portable" not in run("doctor")[1]:
    refused("a bundle of another machine", "pack the model on this machine", act(at("whole.evla"), "--case", os.path.join(tiny, "caseA"), EVLA_MACHINE="portable"))
else:
    tap.skip("a bundle of another machine is refused in a sentence", "this machine has no kernels with a layout of their own")

with open(at("plain.evla"), "rb") as f:
    file = f.read()
n_head = struct.unpack_from("<Q", file, 16)[0]
head, rest = json.loads(file[32:32 + n_head]), file[-(-(32 + n_head) // 64) * 64:]
with open(os.path.join(tiny, "stats.json")) as f:
    tap.ok(json.loads(next(r[1] for r in head["head"]["attrs"] if r[0] == "bundle.statistics")) == json.load(f), "statistics are kept to the last bit")


def changed(**attrs):
    """the bundle with other attributes; None takes one away"""
    new = json.loads(json.dumps(head))
    rows = [r for r in new["head"]["attrs"] if r[0].removeprefix("bundle.") not in attrs]
    rows += [["bundle" if k == "bundle" else "bundle." + k, v] for k, v in attrs.items() if v is not None]
    new["head"]["attrs"] = sorted(rows)
    text = json.dumps(new).encode()
    text += b" " * (-(32 + len(text)) % 64)
    with open(at("changed.evla"), "wb") as f:
        f.write(file[:16] + struct.pack("<QQ", len(text), 32 + len(text) + len(rest)) + text + rest)
    return at("changed.evla")


tap.ok(act(changed())[0] == 0, "the same written anew runs")
for item in items:
    refused("a bundle without its " + item, f"changed.evla: it does not say all that a bundle needs: {item} is missing", act(changed(**{item: None})))
for title, attrs, sentence in (
    ("an item that is a number", {"noise": 3}, "its bundle.noise is damaged; want a JSON object"),
    ("an item that is no JSON", {"prompt": "{"}, "its bundle.prompt is damaged; want a JSON object"),
    ("an item that is a list", {"pictures": "[1]"}, "pictures wants an object"),
    ("a field of another type", {"actions": '{"count": "seven", "horizon": 10}'}, "actions wants its field count as a count"),
    ("statistics that are no numbers", {"statistics": '{"state_mean": ["a"]}'}, "statistics wants its field state_mean as a list of numbers"),
    ("statistics of other numbers", {"statistics": json.dumps(dict(items["statistics"], state_std=[1.0]))}, "the statistics say that state has 8 means and 1 spreads"),
    ("no options", {"options": None}, "its bundle.options is missing; want a JSON object"),
    ("an architecture that nobody knows", {"bundle": '{"version": 1, "opens": "policy", "kind": "smelvla"}'}, "its architecture is smelvla; want one of smolvla, mini_vla"),
    ("a bundle that another function reads", {"bundle": '{"version": 1, "opens": "see", "kind": "openvla"}'}, "is a bundle of openvla, which evla.see reads"),
    ("a bundle of a later version", {"bundle": '{"version": 2, "opens": "policy", "kind": "smolvla"}'}, "it is a bundle of version 2; this engine knows 1"),
    ("a packed file that is no policy", {"bundle": None}, "it is packed, but no policy"),
):
    refused(title, sentence, act(changed(**attrs)))
for n in (10, 100, len(file) // 2, len(file) - 1):
    with open(at("cut.evla"), "wb") as f:
        f.write(file[:n])
    refused(f"a bundle cut off at byte {n}", "cut.evla: is ", act(at("cut.evla")))
tap.done()
