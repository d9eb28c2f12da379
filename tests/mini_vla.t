#!/usr/bin/python3
"""mini_vla.t -- pipelines/mini_vla.lua: its authors' checkpoint against golden actions, and a made-up one of other sizes against
NumPy in float64; what a wrong file or case comes to."""
import json
import os
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
import tap
from op_oracle import np

root = os.path.dirname(here)
evla = os.path.join(os.path.abspath(os.environ.get("EVLA_BUILD", os.path.join(root, "build"))), "evla")
tap.need(evla)
data = os.path.abspath(os.environ.get("EVLA_TEST_DATA", os.path.join(root, "..", "shared", "data")))
work = tempfile.TemporaryDirectory(prefix="evla-mini-")
at = lambda *name: os.path.join(work.name, *name)


def run(*words):
    done = subprocess.run([evla, "run", os.path.join(root, "pipelines", "mini_vla.lua"), "--out", at("out"), *words],
                          cwd=work.name, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def figures(name):
    with open(at("out", "mini_vla", name, "job.json")) as f:
        return json.load(f)["figures"]


# ---- a checkpoint of other sizes ----
WIDTH, TEXT, STATE, ACTION, TIME, STEPS, SIZE = 48, 20, 5, 3, 10, 6, 32
rng = np.random.default_rng(3)


def weights():
    w = {}

    def add(name, *shape, bias=True):
        w[name + ".weight"] = rng.normal(0, np.prod(shape[1:]) ** -0.5, shape)
        if bias:
            w[name + ".bias"] = rng.normal(0, 0.1, shape[0])

    def norm(name):
        w[name + ".weight"], w[name + ".bias"] = rng.normal(1, 0.1, WIDTH), rng.normal(0, 0.1, WIDTH)

    add("img_encoder.conv1", 6, 3, 5, 5), add("img_encoder.conv2", 9, 6, 3, 3), add("img_encoder.conv3", 12, 9, 3, 3)
    add("img_encoder.proj", WIDTH, 12), norm("img_encoder.ln")
    add("txt_encoder.embed", 7, TEXT, bias=False), norm("txt_encoder.ln")
    for name, n in (("ih", TEXT), ("hh", WIDTH)):
        w[f"txt_encoder.gru.weight_{name}_l0"] = rng.normal(0, n ** -0.5, (3 * WIDTH, n))
        w[f"txt_encoder.gru.bias_{name}_l0"] = rng.normal(0, 0.1, 3 * WIDTH)
    add("state_encoder.net.0", 11, STATE), add("state_encoder.net.2", WIDTH, 11), norm("state_encoder.ln")
    add("fusion.net.0", 21, 3 * WIDTH), add("fusion.net.2", WIDTH, 21), norm("fusion.ln")
    net = "diffusion_head.denoise_model.net."
    add(net + "0", 31, ACTION + TIME + WIDTH), add(net + "2", 17, 31), add(net + "4", ACTION, 17)
    betas = np.linspace(1e-3, 0.05, STEPS)
    w["diffusion_head.betas"], w["diffusion_head.alphas"] = betas, 1 - betas
    w["diffusion_head.alpha_bar"] = np.cumprod(1 - betas)
    return {k: v.astype("<f4") for k, v in w.items()}


def save(w, path):
    head, end = {}, 0
    for k, v in w.items():
        head[k] = {"dtype": "F32", "shape": v.shape, "data_offsets": [end, end + v.nbytes]}
        end += v.nbytes
    text = json.dumps(head).encode()
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text + b"".join(v.tobytes() for v in w.values()))


def act(w, case):
    """in float64, from the description of the checkpoint"""
    W = {k: v.astype("f8") for k, v in w.items()}
    lin = lambda x, n: W[n + ".weight"] @ x + W[n + ".bias"]
    relu = lambda x: np.maximum(x, 0)
    sig = lambda x: 1 / (1 + np.exp(-x))
    norm = lambda x, n: (x - x.mean()) / np.sqrt(x.var() + 1e-5) * W[n + ".weight"] + W[n + ".bias"]

    def conv(x, n, pad):
        k = W[n + ".weight"]
        x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
        side = (x.shape[1] - k.shape[2]) // 2 + 1
        win = np.lib.stride_tricks.sliding_window_view(x, k.shape[2:], (1, 2))[:, ::2, ::2][:, :side, :side]
        return relu(np.einsum("chwij,ocij->ohw", win, k) + W[n + ".bias"][:, None, None])

    x = np.array(case["image_u8_hwc"], "f8").reshape(SIZE, SIZE, 3).transpose(2, 0, 1) / 255
    for i, pad in ((1, 2), (2, 1), (3, 1)):
        x = conv(x, f"img_encoder.conv{i}", pad)
    seen = norm(lin(x.mean((1, 2)), "img_encoder.proj"), "img_encoder.ln")
    G = "txt_encoder.gru."
    h = np.zeros(WIDTH)
    for token in np.atleast_1d(case["token"]):
        gi = W[G + "weight_ih_l0"] @ W["txt_encoder.embed.weight"][token] + W[G + "bias_ih_l0"]
        gh = W[G + "weight_hh_l0"] @ h + W[G + "bias_hh_l0"]
        r, z = sig(gi[:WIDTH] + gh[:WIDTH]), sig(gi[WIDTH : 2 * WIDTH] + gh[WIDTH : 2 * WIDTH])
        h = (1 - z) * np.tanh(gi[2 * WIDTH :] + r * gh[2 * WIDTH :]) + z * h
    two = lambda x, n: lin(relu(lin(x, n + ".net.0")), n + ".net.2")
    felt = norm(two(np.array(case["state"]), "state_encoder"), "state_encoder.ln")
    cond = norm(two(np.concatenate([seen, norm(h, "txt_encoder.ln"), felt]), "fusion"), "fusion.ln")
    D, N = "diffusion_head.", "diffusion_head.denoise_model.net."
    x = np.array(case["x_T"], "f8")
    f = np.exp(np.linspace(0, np.log(1000), TIME // 2))
    for t in reversed(range(STEPS)):
        wave = np.concatenate([np.sin(t * f), np.cos(t * f)])
        eps = lin(relu(lin(relu(lin(np.concatenate([x, wave, cond]), N + "0")), N + "2")), N + "4")
        ab = W[D + "alpha_bar"][t]
        x = (x - np.sqrt(1 - ab) * eps) / np.sqrt(ab)
        if t:
            x = np.sqrt(W[D + "alphas"][t]) * x + np.sqrt(W[D + "betas"][t]) * np.array(case["noise"][t])
    return x


w = weights()
save(w, at("other.safetensors"))
cases = []
for words in (1, 1, 3):
    token = rng.integers(0, 7, words).tolist()
    case = {"image_u8_hwc": rng.integers(0, 256, SIZE * SIZE * 3).tolist(), "size": [SIZE, SIZE], "token": token if words > 1 else token[0],
            "state": rng.normal(size=STATE).tolist(), "x_T": rng.normal(size=ACTION).tolist(), "noise": rng.normal(size=(STEPS, ACTION)).tolist()}
    cases.append(dict(case, action=act(w, case).tolist()))


def write(name, cases):
    with open(at(name), "w") as f:
        json.dump({"cases": cases}, f)
    return at(name)


code, text = run("--model", at("other.safetensors"), "--cases", write("other.json", cases))
tap.ok(code == 0, "a checkpoint of other sizes acts as NumPy says, within 1e-4, told one word or three", text)
f = figures("case1")
tap.ok(f["phases"][1]["times"] == STEPS and abs(sum(p["ms"] for p in f["phases"]) - f["ms"]) <= 0.01 * f["ms"],
       "its phases sum to the call within 1 %", f["phases"])
tap.ok(f["mallocs"] <= 0, "a call allocates nothing", f["mallocs"])
wrong = dict(cases[0], action=[a + 2e-4 for a in cases[0]["action"]])
code, text = run("--model", at("other.safetensors"), "--cases", write("wrong.json", [wrong]))
tap.ok(code == 1 and "output action is off by 0.000" in text and "want at most 0.0001" in text, "an action that differs fails the job", text)

# ---- what is wrong ----
for title, case, sentence in (
    ("a state of another width", {"state": [0.0] * 4}, "input state: got 4 numbers for f32[5]"),
    ("noise that is too short", {"noise": cases[0]["noise"][:-1]}, "input noise: got 15 numbers for f32[6,1,3]"),
    ("an image smaller than it says", {"image_u8_hwc": [0] * 30}, "input image: got 30 numbers for u8[32,32,3]"),
    ("a word that it does not know", {"token": 7}, "embedding: id 7 at place 0; want 0 to 6"),
    ("no word", {"token": []}, "tokens: want 1 to 64, got 0"),
    ("a pixel of 300", {"image_u8_hwc": [300] * (SIZE * SIZE * 3)}, "input image: u8[32,32,3] cannot hold the number 300"),
):
    code, text = run("--model", at("other.safetensors"), "--cases", write("bad.json", [dict(cases[0], **case)]))
    tap.ok(code in (1, 2) and sentence in text, title + " is refused", text)
del w["txt_encoder.ln.bias"]
save(w, at("less.safetensors"))
code, text = run("--model", at("less.safetensors"), "--cases", write("other.json", cases))
tap.ok(code == 2 and "less.safetensors: it holds no weight txt_encoder.ln.bias" in text, "a checkpoint without a weight is refused by its name", text)

# ---- the real one ----
real, golden = os.path.join(data, "vla", "mini_vla_libero.safetensors"), os.path.join(data, "vla", "mini_vla_libero.golden.json")
if os.path.exists(golden):
    code, text = run("--model", real, "--cases", golden)
    tap.ok(code == 0 and all(figures(f"case{i}")["error_action"] <= 1e-4 for i in (1, 2, 3, 4)), "the public checkpoint: four golden actions within 1e-4", text)
else:
    tap.skip("the public checkpoint: four golden actions within 1e-4", f"{golden} is not there")
tap.done()
