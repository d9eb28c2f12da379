#!/usr/bin/python3
"""llama_peer.t -- evla beside llama.cpp, by way of the npm package node-llama-cpp: the same files, tokens, probabilities and texts.

tests/peers.sh installs the package into build/peers where it can; elsewhere this test skips. Nothing here is compared with numbers
that were written down: both engines run now. LLAMA_PEER_SEEDS=1,2,3 looks at more models and prints how far apart they were, from
which the tolerances below come.
"""
import ctypes
import glob
import json
import os
import platform
import subprocess
import sys
import tempfile

import tap
from op_oracle import np
import tokenizer_oracle

here = os.path.dirname(os.path.abspath(__file__))
build = os.path.abspath(os.environ.get("EVLA_BUILD", os.path.join(here, "..", "build")))
data = os.environ.get("EVLA_TEST_DATA", os.path.join(here, "..", "..", "shared", "data"))
evla = os.path.join(build, "evla")
peers = os.path.join(build, "peers")
binaries = os.path.join(peers, "node_modules", "@node-llama-cpp", "linux-x64", "bins", "linux-x64")
tap.need(evla, tokenizer_oracle.RUNNER, *tokenizer_oracle.PLUGINS)


def leave(why):
    print("1..0 # SKIP", why)
    sys.exit(0)


try:
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=20).stdout
except OSError:
    leave("node is not installed")
if int(version.lstrip("v").split(".")[0] or 0) < 20:
    leave(f"node is {version.strip()}; node-llama-cpp wants 20 or newer")
if not os.path.isdir(binaries):
    leave("node-llama-cpp is not in build/peers; `sh tests/peers.sh build` installs it where a registry answers")

work = tempfile.TemporaryDirectory(prefix="evla-llama-peer-")
at = lambda *name: os.path.join(work.name, *name)


def weights(model, kind, seed=1):
    path = at(f"{model}-{kind}-{seed}.gguf")
    subprocess.run([evla, "new", "weights", model, "-q", "--type", kind, "--seed", str(seed), "-o", path], check=True)
    return path


def ours(questions):
    with open(at("ours.json"), "w") as f:
        json.dump(questions, f)
    r = subprocess.run([evla, "run", os.path.join(here, "llama.lua"), "--trust", "-q", "--workers", "2", "--questions", at("ours.json")],
                       cwd=work.name, capture_output=True, text=True, timeout=600)
    if r.returncode:
        raise SystemExit("evla: " + r.stderr[-800:])
    return [[one.get("answer", one.get("error")) for one in model] for model in json.loads(r.stdout.splitlines()[0])]


def theirs(questions):
    with open(at("theirs.json"), "w") as f:
        json.dump(questions, f)
    r = subprocess.run(["node", os.path.join(here, "llama_peer.mjs"), peers, at("theirs.json"), at("answers.json")],
                       capture_output=True, text=True, timeout=600)
    if r.returncode:
        raise SystemExit("llama.cpp: " + (r.stdout + r.stderr)[-800:])
    with open(at("answers.json")) as f:
        return json.load(f)


def log_softmax(x):
    x = np.array(x, np.float64)
    x = x - x.max()
    return x - np.log(np.exp(x).sum())


# ---- llama.cpp's own quantiser, whose interface is C: only the number of threads and the kind of file are set ----

class QuantizeParams(ctypes.Structure):
    _fields_ = [("threads", ctypes.c_int32), ("file_type", ctypes.c_int32), ("rest", ctypes.c_char * 1016)]


def quantiser():
    for pattern in ("libggml-base.so", "libggml.*so"):
        ctypes.CDLL(glob.glob(os.path.join(binaries, pattern))[0], ctypes.RTLD_GLOBAL)
    lib = ctypes.CDLL(glob.glob(os.path.join(binaries, "libllama.*so"))[0])
    lib.llama_model_quantize_default_params.restype = QuantizeParams
    quiet = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)
    lib.llama_log_set(quiet, None)

    def quantise(source, kind, file_type):
        path = source.replace("-f32-", f"-theirs-{kind}-")
        p = lib.llama_model_quantize_default_params()
        p.threads, p.file_type = 2, file_type
        if lib.llama_model_quantize(source.encode(), path.encode(), ctypes.byref(p)):
            raise SystemExit(f"llama.cpp cannot quantise {source} to {kind}")
        return path
    quantise.keep = lib, quiet
    return quantise


THEIRS = {"q4_0": 2, "q4_1": 3, "q8_0": 7, "q5_0": 8, "q5_1": 9, "q4_k_m": 15, "q5_k_m": 17, "q6_k": 18, "bf16": 32}

# ---- probabilities of what comes next, and the likeliest tokens ----
# The root of the mean squared difference of ln p over the vocabulary, as a share of the spread of ln p. Each is about twice the
# most that 8 seeds of both models came to, which stands behind it.
EXACT = 1e-5  # f32 throughout: sums in another order (2.6e-6)
TOLERANCE = {
    "f32": 4e-4,  # keys and values in f16 (1.8e-4)
    "f16": 1.5e-3,  # llama.cpp also rounds what meets f16 weights to f16 (6.9e-4)
    "bf16": 8e-3,  # and what meets bf16 to bf16 (3.9e-3)
    # What meets codes is rounded to 8 bits by both, but in blocks that differ (1.6e-2); the K formats also take 256 of llama.cpp's
    # to one scale (2.4e-2).
    **dict.fromkeys(("q8_0", "q4_0", "q4_1", "q5_0", "q5_1"), 3e-2), **dict.fromkeys(("q4_k", "q5_k", "q6_k"), 4.5e-2),
}
THEIRS = {"q4_0": 2, "q4_1": 3, "q8_0": 7, "q5_0": 8, "q5_1": 9, "q4_k": 15, "q5_k": 17, "q6_k": 18, "bf16": 32}  # enum llama_ftype; q4_k is Q4_K_M
N_GREEDY = 24
seeds = [int(s) for s in os.environ.get("LLAMA_PEER_SEEDS", "1").split(",")]
ids = [int(i) for i in np.random.default_rng(5).integers(3, 1024, 40)]
stories, once = os.path.abspath(os.path.join(data, "llm", "stories260K-f32.gguf")), [1, 403, 407, 261, 378]

cases = []  # title, file, format of keys and values, tokens, tolerance
quantise = quantiser()
for seed in seeds:
    for model in ("llama-tiny", "qwen2-tiny"):
        plain = weights(model, "f32", seed)
        cases.append((f"{model} in f32, keys and values too", plain, "f32", ids, EXACT))
        for kind, far in TOLERANCE.items():
            cases.append((f"{model} in {kind}", weights(model, kind, seed), "f16", ids, far))
        for kind, file_type in THEIRS.items():
            cases.append((f"{model} that llama.cpp quantised to {kind}", quantise(plain, kind, file_type), "f16", ids, TOLERANCE[kind]))
if os.path.exists(stories):
    cases += [("stories260K, keys and values in f32", stories, "f32", once, EXACT), ("stories260K", stories, "f16", once, TOLERANCE["f32"])]
else:
    tap.skip("stories260K", "EVLA_TEST_DATA has no llm/stories260K-f32.gguf")

mine = [{"model": path, "options": {"kv": kv}, "ask": [["logits", {"ids": text}], ["complete", {"ids": text, "tokens": N_GREEDY, "ignore_end": True}]]}
        for _, path, kv, text, _ in cases]
mine = [answers for i in range(0, len(mine), 40) for answers in ours(mine[i:i + 40])]  # a script has ten seconds
words = {"llama-tiny's vocabulary (spm)": weights("llama-tiny", "f32"), "qwen2-tiny's vocabulary (bpe)": weights("qwen2-tiny", "f32")}
for name in ("llama-spm", "phi-3", "gpt-2", "falcon"):
    path = os.path.abspath(os.path.join(data, "tokenizer", f"ggml-vocab-{name}.gguf"))
    if os.path.exists(path):
        words[f"the vocabulary {name}"] = path
texts = ["Hello, world!", "  two  blanks, and one behind ", "tabs\tand\nnew\n\n\nlines\r\n", "it's I'll they'VE 1234567 3.14 2^10", "gr\u00fc\u00df e\u0301 \u00e9 \u00c5",
         "\u65e5\u672c\u8a9e\u306e\u6587\u7ae0\u3001\ud55c\uad6d\uc5b4", "\U0001f916\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2603", "\u0417\u0434\u0440\u0430\u0432\u0441\u0442\u0432\u0443\u0439 \u0645\u0631\u062d\u0628\u0627 \u0928\u092e\u0938\u094d\u0924\u0947", "x=[{(<y>)}];//*&^%$#@!~`|\\",
         "<s>in</s> <unk>", "<|im_start|>user\nhi<|im_end|><|endoftext|>", "<0x41> \x01\x7f \u00a0\u3000", "a" * 70 + " " * 30 + "b", "q"]
theirs_all = theirs([{"model": path, "kv": kv.upper(), "ask": [["logprobs", text], ["greedy", text, N_GREEDY]]} for _, path, kv, text, _ in cases] +
                    [{"model": path, "only_words": True, "ask": [["tokens", t, special] for special in (False, True) for t in texts]} for path in words.values()])
others, tokens = theirs_all[:len(cases)], theirs_all[len(cases):]

for (title, _, _, _, most), our, their in zip(cases, mine, others):
    if isinstance(our[0], str):
        tap.ok(False, f"{title}: probabilities", our[0])
        continue
    p, q = log_softmax(our[0]), np.array(their[0], np.float64)
    far = np.sqrt(((p - q) ** 2).mean()) / q.std()
    tap.ok(far < most, f"{title}: ln p is llama.cpp's within {most:g} of its spread", (far, abs(p - q).max()))
    if len(seeds) > 1:
        print(f"# {far:.2e}, largest difference {abs(p - q).max():.2e}")
    if most == EXACT:
        tap.ok(our[1]["tokens"] == their[1], f"{title}: the likeliest {N_GREEDY} tokens, one after another, are llama.cpp's", (our[1]["tokens"], their[1]))

# ---- tokens of texts ----
for (title, path), want in zip(words.items(), tokens):
    with tokenizer_oracle.Tokenizer(path) as t:
        got = [t.encode(text, flags) for flags in (0, tokenizer_oracle.SPECIAL) for text in texts]
    # llama.cpp goes by Phi-3's name for what its file does not say: that </s> is no plain text and takes the blanks behind it.
    wrong = [(text, a, b) for text, a, b in zip(texts + texts, got, want) if a != b and not ("phi-3" in title and "</s>" in text)]
    tap.ok(not wrong, f"{title}: {len(texts)} texts are the tokens that llama.cpp makes of them, special ones read or not", "\n".join(map(str, wrong)))

tap.done()
