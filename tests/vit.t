#!/usr/bin/python3
"""vit.t -- vision transformers against PyTorch: CLIP, SigLIP, So400m, DINOv2 with registers and timm's own, under the names of their
files, tiny and as one block of full width; torchvision's vit_b_16 class; in bf16 and in codes of eight bits; and what cannot be."""
import json
import os
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
import tap
from bundle import bundle
from op_oracle import np

try:
    import torch
    from torch import nn
except ImportError:
    print("1..0 # SKIP python3-torch is not installed")
    sys.exit(0)
try:
    from torchvision.models.vision_transformer import VisionTransformer
except ImportError:
    VisionTransformer = None

root = os.path.dirname(here)
evla = os.path.join(os.path.abspath(os.environ.get("EVLA_BUILD", os.path.join(root, "build"))), "evla")
tap.need(evla)
work = tempfile.TemporaryDirectory(prefix="evla-vit-")
at = lambda *name: os.path.join(work.name, *name)


# ---- the oracle: PyTorch's own layers ----

def quick_gelu(x):
    return x * torch.sigmoid(1.702 * x)


ACTIVATIONS = {"gelu": nn.GELU(), "gelu_tanh": nn.GELU("tanh"), "quick_gelu": quick_gelu}


class Block(nn.Module):
    def __init__(self, o):
        super().__init__()
        d = o["width"]
        self.norm1, self.norm2 = nn.LayerNorm(d, o["eps"]), nn.LayerNorm(d, o["eps"])
        self.attn = nn.MultiheadAttention(d, o["heads"], batch_first=True)
        self.fc1, self.fc2 = nn.Linear(d, o["hidden"]), nn.Linear(o["hidden"], d)
        if o["layer_scale"]:
            self.scale1, self.scale2 = nn.Parameter(torch.ones(d)), nn.Parameter(torch.ones(d))
        else:
            self.scale1 = self.scale2 = 1
        self.activation = ACTIVATIONS[o["activation"]]

    def forward(self, x):
        h = self.norm1(x)
        x = x + self.scale1 * self.attn(h, h, h, need_weights=False)[0]
        return x + self.scale2 * self.fc2(self.activation(self.fc1(self.norm2(x))))


class Vit(nn.Module):
    def __init__(self, o):
        super().__init__()
        self.o, d = o, o["width"]
        side = o["image"] // o["patch"]
        self.patch = nn.Conv2d(3, d, o["patch"], o["patch"], bias=o["patch_bias"])
        self.cls = nn.Parameter(torch.zeros(1, 1, d))
        self.reg = nn.Parameter(torch.zeros(1, o["registers"], d))
        self.pos = nn.Parameter(torch.zeros(1, side * side + (o["class"] and o["class_position"]) * (1 + o["registers"]), d))
        self.pre, self.post = nn.LayerNorm(d, o["eps"]), nn.LayerNorm(d, o["eps"])
        self.blocks = nn.ModuleList(Block(o) for _ in range(o["layers"]))

    def forward(self, x):
        o = self.o
        x = self.patch(x).flatten(2).transpose(1, 2)
        if o["class"] and not o["class_position"]:
            x = x + self.pos
        if o["class"]:
            x = torch.cat([self.cls.expand(len(x), -1, -1), self.reg.expand(len(x), -1, -1), x], 1)
        if not o["class"] or o["class_position"]:
            x = x + self.pos
        x = self.pre(x) if o["pre_norm"] else x
        states = [x]
        for b in self.blocks:
            states.append(b(states[-1]))
        x = states[o["feature"]]
        x = self.post(x) if o["post_norm"] else x
        return x[:, (1 + o["registers"]) * o["class"]:] if o["patches_only"] else x


PRESETS = dict(image=28, patch=7, width=64, layers=3, heads=2, hidden=128, eps=1e-6, activation="gelu", **{"class": True}, class_position=True, registers=0,
               patch_bias=True, pre_norm=False, layer_scale=False, feature=-1, post_norm=True, patches_only=True)
CLIP = dict(names="hf", activation="quick_gelu", pre_norm=True, patch_bias=False, feature=-2, post_norm=False, eps=1e-5)
SIGLIP = dict(names="hf", activation="gelu_tanh", **{"class": False})
SO400M = dict(names="openvla", prefix="vision_backbone.fused_featurizer.", heads=4, width=72 * 4, hidden=4304 // 16, feature=-2, post_norm=False, **{"class": False})
DINO = dict(names="openvla", prefix="vision_backbone.featurizer.", registers=4, class_position=False, layer_scale=True, feature=-2, post_norm=False)
wide = lambda family, **more: dict(family, layers=1 if family.get("feature", -1) == -1 else 2, image=4 * more.get("patch", 14), patch=14, **more)
CASES = {
    "clip": CLIP, "siglip": SIGLIP, "so400m": SO400M, "dinov2": DINO, "timm": dict(names="timm", patches_only=False),
    "clip_mmproj": dict(CLIP, names="gguf", swapped=True), "siglip_vla": dict(SIGLIP, names="vla"),
    "clip_l": wide(CLIP, width=1024, heads=16, hidden=4096), "siglip_b": dict(wide(SIGLIP, width=768, heads=12, hidden=3072), image=64, patch=16),
    "so400m_wide": wide(dict(SO400M, width=1152, heads=16, hidden=4304)), "dinov2_l": wide(DINO, width=1024, heads=16, hidden=4096),
}


# ---- weights under the names of the files ----

def published(o, m):
    """what the file that o names would hold of the oracle's weights, as numpy arrays"""
    w = {k: v.detach().numpy() for k, v in m.state_dict().items()}
    n = o["names"]
    prefix = o.get("prefix") or {"hf": "vision_model.", "gguf": "v.", "vla": "vit."}.get(n, "")
    timm = n in ("timm", "openvla")
    gamma = {"timm": "gamma", "openvla": "scale_factor"}.get(n)
    top = {"hf": ("embeddings.patch_embedding", "embeddings.class_embedding", "embeddings.position_embedding.weight", "pre_layrnorm", "post_layernorm"),
           "gguf": ("patch_embd", "class_embd", "position_embd.weight", "pre_ln", "post_ln"), "vla": ("patch_embd", None, "pos_embd", None, "post_ln")
           }.get(n, ("patch_embed.proj", "cls_token", "pos_embed", "norm_pre", "norm"))
    part = {"hf": ("layer_norm1", "layer_norm2", "self_attn.%s_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2"),
            "gguf": ("ln1", "ln2", "attn_%s", "attn_out", "ffn_up", "ffn_down"), "vla": ("ln1", "ln2", "attn_%s", "attn_o", "fc1", "fc2")
            }.get(n, ("norm1", "norm2", "attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"))
    block = {"hf": "encoder.layers.%d.", "gguf": "blk.%d.", "vla": "blk.%d."}.get(n, "blocks.%d.")
    out = {top[0] + ".weight": w["patch.weight"], top[2]: w["pos"] if timm else w["pos"][0]}
    both = lambda to, name: out.update({f"{to}.{k}": w[f"{name}.{k}"] for k in ("weight", "bias")})
    if o["patch_bias"]:
        out[top[0] + ".bias"] = w["patch.bias"]
    if o["class"]:
        out[top[1]] = w["cls"] if timm else w["cls"][0, 0]
    if o["registers"]:
        out["reg_token"] = w["reg"]
    if o["pre_norm"]:
        both(top[3], "pre")
    both(top[4], "post")
    for i in range(o["layers"] + o["feature"] + 1):
        to, name = block % i, f"blocks.{i}."
        both(to + part[0], name + "norm1")
        both(to + part[1], name + "norm2")
        for k in ("weight", "bias"):
            fused = w[f"{name}attn.in_proj_{k}"]
            if timm:
                out[f"{to}{part[2]}.{k}"] = fused
            else:
                out.update({f"{to}{part[2] % c}.{k}": v for c, v in zip("qkv", np.split(fused, 3))})
        both(to + part[3], name + "attn.out_proj")
        both(to + part[4 + o.get("swapped", False)], name + "fc1")
        both(to + part[5 - o.get("swapped", False)], name + "fc2")
        if o["layer_scale"]:
            out[f"{to}ls1.{gamma}"], out[f"{to}ls2.{gamma}"] = w[name + "scale1"], w[name + "scale2"]
    return {prefix + k: v for k, v in out.items()}


def bf16(a):
    return torch.from_numpy(np.ascontiguousarray(a)).to(torch.bfloat16)


def write(name, tensors, half=False):
    """a safetensors file, by its published layout"""
    header, body = {}, b""
    for key, v in tensors.items():
        raw = bf16(v).view(torch.int16).numpy().tobytes() if half else np.ascontiguousarray(v, np.float32).tobytes()
        header[key] = {"dtype": "BF16" if half else "F32", "shape": list(v.shape), "data_offsets": [len(body), len(body) + len(raw)]}
        body += raw
    head = json.dumps(header).encode()
    with open(at(name), "wb") as f:
        f.write(len(head).to_bytes(8, "little") + head + body)
    return at(name)


def drawn(m, seed):
    """weights at which every part of the model matters"""
    g = torch.Generator().manual_seed(seed)
    for k, v in m.state_dict().items():
        spread = 0.05 if v.ndim == 2 and v.shape[1] > 256 else 0.2
        centre = 1.0 if ("norm" in k or k.startswith(("pre", "post"))) and k.endswith("weight") else 0.0
        v.copy_(torch.randn(v.shape, generator=g) * spread + centre)
    return m.eval()


# ---- asking ----

def run(cases, *more):
    with open(at("cases.json"), "w") as f:
        json.dump(cases, f)
    return subprocess.run([evla, "run", os.path.join(here, "vit.lua"), "--trust", "-q", "--out", at("out"), "--cases", at("cases.json"), *more],
                          cwd=work.name, capture_output=True, text=True, timeout=300)


def answer(name):
    io = bundle(at("out", "vit", name, "outputs.evla"))[1]
    return io["i:pixels"], io["o:features"].astype(np.float64)


def rel_l2(got, want):
    return float(np.linalg.norm(got - want) / np.linalg.norm(want))


torch.manual_seed(1)
models, cases = {}, []
for seed, (name, given) in enumerate(CASES.items()):
    o = dict(PRESETS, **given)
    m = models[name] = drawn(Vit(o), seed)
    tensors = published(o, m)
    cases.append({"name": name, "kind": "checkpoint", "options": dict(o), "weights": write(name + ".safetensors", tensors), "symbols": {"N": 2}})
    if name in ("clip", "siglip_b", "dinov2"):
        cases.append({"name": name + "_bf16", "kind": "checkpoint", "options": dict(o), "weights": write(name + "_bf16.safetensors", tensors, True), "symbols": {"N": 1}})
    if name in ("clip", "siglip_b"):
        cases.append({"name": name + "_q", "kind": "model", "int8": True, "options": dict(o), "weights": at(name + ".safetensors"), "symbols": {"N": 1}})
if VisionTransformer:
    theirs = VisionTransformer(image_size=32, patch_size=8, num_layers=3, num_heads=4, hidden_dim=64, mlp_dim=160, num_classes=10)
    w = {k: v.detach().numpy() for k, v in drawn(theirs, 99).state_dict().items()}
    rename = {"conv_proj": "patch_embed.proj", "class_token": "cls_token", "encoder.pos_embedding": "pos_embed", "encoder.ln": "norm", "heads.head": "head",
              "encoder.layers.encoder_layer_": "blocks.", "ln_1": "norm1", "ln_2": "norm2", "self_attention.in_proj_": "attn.qkv.",
              "self_attention.out_proj": "attn.proj", "mlp.0": "mlp.fc1", "mlp.3": "mlp.fc2"}
    timm = {}
    for k, v in w.items():
        for a, b in rename.items():
            k = k.replace(a, b)
        timm[k] = v
    cases.append({"name": "vit_b", "kind": "checkpoint", "weights": write("vit_b.safetensors", timm), "symbols": {"N": 2},
                  "options": dict(image=32, patch=8, width=64, layers=3, heads=4, hidden=160, classes=10, names="timm")})
both = {**published(dict(PRESETS, **DINO), models["dinov2"]), **published(dict(PRESETS, **SO400M), models["so400m"])}
cases.append({"name": "towers", "kind": "checkpoint", "model": "vit_towers", "weights": write("towers.safetensors", both), "symbols": {"M": 2},
              "options": {"first": dict(PRESETS, **DINO), "second": dict(PRESETS, **SO400M)}})
done = run(cases)
tap.ok(done.returncode == 0, f"{len(cases)} models run", done.stderr)

# ---- f32 ----
for name in CASES:
    x, y = answer(name)
    with torch.no_grad():
        want = models[name].double()(torch.tensor(x).double()).numpy()
    tap.ok(y.shape == want.shape and rel_l2(y, want) < 1e-5, f"{name}: features {list(y.shape)} are PyTorch's in f64 within relL2 1e-5", rel_l2(y, want) if y.shape == want.shape else want.shape)
if VisionTransformer:
    x, y = answer("vit_b")
    with torch.no_grad():
        want = theirs.double()(torch.tensor(x).double()).numpy()
    tap.ok(rel_l2(y, want) < 1e-5, "logits are those of torchvision's VisionTransformer, the class behind vit_b_16", rel_l2(y, want))
else:
    tap.skip("torchvision's VisionTransformer", "python3-torchvision is not installed")

x, y = answer("towers")
with torch.no_grad():
    want = torch.cat([models[name](torch.tensor(x).double()) for name in ("dinov2", "so400m")], -1).numpy()
tap.ok(rel_l2(y, want) < 1e-5, f"two of them in one model file give both features of each patch, {list(y.shape)}", rel_l2(y, want))

# ---- smaller formats: their error against f32, and not less than they can be ----
for name, least, most in (("clip_bf16", 1e-4, 2e-2), ("siglip_b_bf16", 1e-4, 2e-2), ("dinov2_bf16", 1e-4, 2e-2), ("clip_q", 1e-3, 6e-2), ("siglip_b_q", 1e-3, 6e-2)):
    x, y = answer(name)
    with torch.no_grad():
        want = models[name.rsplit("_", 1)[0]](torch.tensor(x).double()).numpy()
    far = rel_l2(y, want)
    tap.ok(least < far < most, f"{name}: relL2 {far:.1e} from f32")

tap.done()
