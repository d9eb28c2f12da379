#!/usr/bin/python3
"""smolvla_torch.py -- SmolVLA stage by stage in PyTorch, written from the model's description (arXiv 2506.01844, lerobot's
modeling_smolvla.py) and from nothing of ours. In f32 its distance from the f64 stages of smolvla_tiny says how exact an f32 engine
can be asked to be; tests/golden/smolvla_f32.json holds those distances, made by

    tests/smolvla_torch.py DATA/smolvla_tiny > tests/golden/smolvla_f32.json

and beside them, under "masked", what it acts in f64 when cameras and words of the cases are not there, and how far off f32 is; under
"guided", the same when its answer keeps to an earlier one by real-time chunking (Black, Galliker, Levine 2025), whose product with the
network's derivative is that of autograd.
"""
import json
import math
import os
import re
import struct
import sys

import numpy as np
import torch
import torch.nn.functional as F


def safetensors(path):
    with open(path, "rb") as f:
        head = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    out = {}
    for name, t in head.items():
        if name == "__metadata__":
            continue
        lo, hi = t["data_offsets"]
        raw = np.frombuffer(data[lo:hi], "<u2" if t["dtype"] == "BF16" else "<f4")
        f32 = (raw.astype("<u4") << 16).view("<f4") if t["dtype"] == "BF16" else raw
        out[name] = torch.from_numpy(f32.reshape(t["shape"]).copy())
    return out


def stages(folder, case, dtype, image_mask=None, token_mask=None, guided=None):
    """by name; masks hold 0 of cameras and words that are not there, more words than the case has are token 0;
    guided: the earlier answer, a weight for each of its rows, beta"""
    c = json.load(open(f"{folder}/config.json"))
    stats = {k: torch.tensor(v, dtype=dtype) for k, v in json.load(open(f"{folder}/stats.json")).items()}
    W = {k: v.to(dtype) for k, v in safetensors(f"{folder}/model.safetensors").items()}
    at = f"{folder}/{case}/"
    S, d, e = c["image_size"], c["hidden"], c["expert_h"]
    heads, kv, D = c["n_q_heads"], c["n_kv_heads"], c["head_dim"]
    images = torch.from_numpy(np.fromfile(at + "images.u8", "u1").reshape(-1, S, S, 3).copy()).to(dtype)
    tokens = torch.from_numpy(np.fromfile(at + "tokens.i32", "<i4").astype("i8"))
    if token_mask:
        tokens = torch.cat([tokens, torch.zeros(len(token_mask) - len(tokens), dtype=torch.long)])
    state = torch.from_numpy(np.fromfile(at + "state.f32", "<f4")).to(dtype)
    x_t = torch.from_numpy(np.fromfile(at + "noise.f32", "<f4").reshape(c["chunk_size"], -1)).to(dtype)
    out, both = {}, "model.vlm_with_expert."
    lin = lambda x, n: F.linear(x, W[n + ".weight"], W.get(n + ".bias"))
    rms = lambda x, n: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * W[n + ".weight"]
    norm = lambda x, n: F.layer_norm(x, x.shape[-1:], W[n + ".weight"], W[n + ".bias"], 1e-6)

    def attend(q, k, v, mask):  # [T,H,D]
        k, v = (t.repeat_interleave(q.shape[1] // t.shape[1], 1) for t in (k, v))
        s = torch.einsum("qhd,khd->hqk", q, k) / math.sqrt(q.shape[-1])
        p = s.masked_fill(~mask, -torch.inf).softmax(-1)
        return torch.einsum("hqk,khd->qhd", p, v).flatten(1)

    def rope(x, pos):
        f = 1 / 10000 ** (torch.arange(0, D, 2, dtype=torch.float64) / D)
        a = (pos.double()[:, None] * f)[:, None]
        cos, sin = a.cos().to(dtype), a.sin().to(dtype)
        lo, hi = x[..., : D // 2], x[..., D // 2 :]
        return torch.cat([lo * cos - hi * sin, hi * cos + lo * sin], -1)

    seen = []
    for i, image in enumerate(images):
        V, n = both + "vlm.model.vision_model.", c["vit_heads"]
        x = F.conv2d((image / 255 * 2 - 1).permute(2, 0, 1)[None], W[V + "embeddings.patch_embedding.weight"],
                     W[V + "embeddings.patch_embedding.bias"], stride=c["patch_size"])[0].flatten(1).T
        x = x + W[V + "embeddings.position_embedding.weight"]
        for l in range(c["vit_layers"]):
            L = f"{V}encoder.layers.{l}."
            h = norm(x, L + "layer_norm1")
            q, k, v = (lin(h, L + f"self_attn.{s}_proj").unflatten(-1, (n, -1)) for s in "qkv")
            x = x + lin(attend(q, k, v, torch.ones(len(x), len(x), dtype=torch.bool)), L + "self_attn.out_proj")
            x = x + lin(F.gelu(lin(norm(x, L + "layer_norm2"), L + "mlp.fc1"), approximate="tanh"), L + "mlp.fc2")
        x = out[f"vit_out_v{i}"] = norm(x, V + "post_layernorm")
        g, s = S // c["patch_size"], c["vit_pixel_shuffle"]
        x = x.view(g // s, s, g // s, s, -1).permute(0, 2, 1, 3, 4).reshape((g // s) ** 2, -1)
        seen.append(lin(x, both + "vlm.model.connector.modality_projection.proj"))
        out[f"img_emb_v{i}"] = seen[-1]
    words = W[both + "vlm.model.text_model.embed_tokens.weight"][tokens]
    n = len(stats["state_mean"])
    normal = torch.zeros_like(state)
    normal[:n] = (state[:n] - stats["state_mean"]) / (stats["state_std"] + 1e-8)
    x = out["prefix_embs"] = torch.cat([torch.cat(seen + [words]) * math.sqrt(d), lin(normal[None], "model.state_proj")])
    P, C = len(x), c["chunk_size"]
    valid = torch.ones(P, dtype=torch.bool)
    per = len(seen[0])
    for i, here in enumerate(image_mask or []):
        valid[i * per : (i + 1) * per] = bool(here)
    if token_mask:
        valid[P - 1 - len(tokens) : P - 1] = torch.tensor(token_mask, dtype=torch.bool)
    mask, pos, n_valid = torch.ones(P, P, dtype=torch.bool) & valid, valid.cumsum(0) - 1, int(valid.sum())
    mask[: P - 1, P - 1] = False
    cache, T, X = [], both + "vlm.model.text_model.layers.", both + "lm_expert.layers."

    def rest(x, a, L):
        x = x + lin(a, L + "self_attn.o_proj")
        h = rms(x, L + "post_attention_layernorm")
        return x + lin(F.silu(lin(h, L + "mlp.gate_proj")) * lin(h, L + "mlp.up_proj"), L + "mlp.down_proj")

    for l in range(c["n_layers"]):
        L = f"{T}{l}."
        h = rms(x, L + "input_layernorm")
        q, k, v = (lin(h, L + f"self_attn.{s}_proj").unflatten(-1, (-1, D)) for s in "qkv")
        q, k = rope(q, pos), rope(k, pos)
        out[f"k_cache_l{l}"], out[f"v_cache_l{l}"] = k, v
        if l % c["self_attn_every_n_layers"]:
            k2, v2 = (lin(t.flatten(1), f"{X}{l}.self_attn.{s}_proj").unflatten(-1, (-1, D)) for t, s in ((k, "k"), (v, "v")))
            out[f"xk_l{l}"], out[f"xv_l{l}"] = k2, v2
            cache.append((k2, v2))
        else:
            cache.append((k, v))
        x = rest(x, attend(q, k, v, mask), L)
        out[f"vlm_l{l}_out"] = x
    steps, n = c["num_steps"], len(stats["action_mean"])

    def velocity(x_t, s):
        t = float(np.float32(1 - s / steps))
        period = 4e-3 * (4.0 / 4e-3) ** torch.linspace(0, 1, e // 2, dtype=torch.float64)
        wave = 2 * math.pi * t / period
        time = torch.cat([wave.sin(), wave.cos()]).to(dtype)
        u = torch.cat([lin(x_t, "model.action_in_proj"), time.expand(C, -1)], -1)
        u = lin(F.silu(lin(u, "model.action_time_mlp_in")), "model.action_time_mlp_out")
        out[f"s{s}_suffix_embs"] = u
        for l, (k, v) in enumerate(cache):
            L = f"{X}{l}."
            h = rms(u, L + "input_layernorm")
            q = lin(h, L + "self_attn.q_proj").unflatten(-1, (-1, D))
            if l % c["self_attn_every_n_layers"]:
                a = attend(rope(q, torch.arange(C)), k, v, valid.expand(C, P))
            else:
                k1, v1 = (lin(h, L + f"self_attn.{w}_proj").unflatten(-1, (-1, D)) for w in "kv")
                here = n_valid + torch.arange(C)
                can = torch.cat([valid.expand(C, P), torch.ones(C, C).tril().bool()], 1)
                a = attend(rope(q, here), torch.cat([k, rope(k1, here)]), torch.cat([v, v1]), can)
            u = rest(u, a, L)
            out[f"s{s}_aex_l{l}_out"] = u
        return lin(rms(u, both + "lm_expert.norm"), "model.action_out_proj")

    def guide(a, s, previous, weight, beta):
        """equations 2 to 4; tau = 1 - t, and the velocity of the paper leads the other way"""
        tau = s / steps
        a = a.detach().requires_grad_(True)
        u = -velocity(a, s)
        end = a + (1 - tau) * u
        error = torch.zeros_like(a)
        known = (torch.tensor(previous, dtype=dtype) - stats["action_mean"]) / (stats["action_std"] + 1e-8)
        error[:, :n] = torch.tensor(weight, dtype=dtype)[:, None] * (known - end.detach()[:, :n])
        (pull,) = torch.autograd.grad(end, a, error)
        r2 = (1 - tau) ** 2 / (tau ** 2 + (1 - tau) ** 2)
        return -(u + (min(beta, (1 - tau) / (tau * r2)) if tau else beta) * pull).detach()

    for s in range(steps):
        v_t = out[f"s{s}_v_t"] = guide(x_t, s, *guided) if guided else velocity(x_t, s)
        x_t = out[f"s{s}_x_t"] = x_t - v_t / steps
    out["action"] = x_t[:, :n] * (stats["action_std"] + 1e-8) + stats["action_mean"]
    return {k: v.detach().double().numpy() for k, v in out.items()}


def truth(folder, case, name):
    if name != "action":
        path = f"{folder}/{case}/ref64/{name}.npy"
        return np.load(path).astype("f8") if os.path.exists(path) else None
    n = len(json.load(open(f"{folder}/stats.json"))["action_mean"])
    return np.fromfile(f"{folder}/{case}/action_ref64.f32", "<f4").reshape(-1, 32)[:, :n].astype("f8")


def off(a, b):
    return float(np.linalg.norm(a.ravel() - b.ravel()) / np.linalg.norm(b))


MASKED = {"one camera": ("caseA", [1, 0], [1] * 12), "padded": ("caseA", [1, 1], [1] * 12 + [0] * 9), "neither": ("caseB", [0, 1], [1] * 31 + [0] * 17)}

if __name__ == "__main__":
    folder, result = sys.argv[1], {}
    stats = json.load(open(f"{folder}/stats.json"))
    torch.set_num_threads(1)
    for case in ("caseA", "caseB"):
        made = {k: (v, truth(folder, case, k)) for k, v in stages(folder, case, torch.float32).items()}
        result[case] = {k: float(f"{off(a, b):.3g}") for k, (a, b) in sorted(made.items()) if b is not None}
    result["masked"] = {}
    for name, (case, image_mask, token_mask) in MASKED.items():
        wide, narrow = (stages(folder, case, t, image_mask, token_mask)["action"] for t in (torch.float64, torch.float32))
        result["masked"][name] = {"case": case, "image_mask": image_mask, "token_mask": token_mask, "error": float(f"{off(narrow, wide):.3g}"),
                                  "action": [float(f"{x:.9g}") for x in wide.ravel()]}
    rng, n, result["guided"] = np.random.default_rng(6), len(stats["action_mean"]), {}
    for case, beta in (("caseA", 5.0), ("caseB", 1.5)):
        C = json.load(open(f"{folder}/config.json"))["chunk_size"]
        previous = (np.array(stats["action_mean"]) + np.array(stats["action_std"]) * rng.normal(size=(C, n))).astype("f4").tolist()
        weight = [1.0] * 3 + [float(np.float32(w)) for w in np.linspace(0.9, 0.1, C - 5)] + [0.0] * 2
        wide, narrow = (stages(folder, case, t, guided=(previous, weight, beta))["action"] for t in (torch.float64, torch.float32))
        free = stages(folder, case, torch.float64)["action"]
        result["guided"][case] = {"previous": [float(f"{x:.9g}") for x in np.ravel(previous)], "weight": weight, "beta": beta,
                                  "error": float(f"{off(narrow, wide):.3g}"), "moved": float(f"{off(free, wide):.3g}"),
                                  "action": [float(f"{x:.9g}") for x in wide.ravel()]}
    text = json.dumps(result, indent=0)
    print(re.sub(r"\[[^]]*\]", lambda m: m[0].replace("\n", " "), text))
