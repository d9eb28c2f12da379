"""torch_cases.py -- weights that PyTorch drew, as safetensors files, and how far two answers are apart."""
import json
import struct

from op_oracle import np


def save(path, tensors):
    """name -> array, as a safetensors file in their own number formats; u16 is bf16's bits"""
    kinds = {"float32": "F32", "int32": "I32", "int64": "I64", "uint8": "U8", "uint16": "BF16"}
    head, end, bodies = {}, 0, []
    for name, v in tensors.items():
        v = np.ascontiguousarray(v)
        head[name] = {"dtype": kinds[str(v.dtype)], "shape": list(v.shape), "data_offsets": [end, end + v.nbytes]}
        end += v.nbytes
        bodies.append(v.tobytes())
    text = json.dumps(head).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(bodies))
    return path


def numbers(module, prefix=""):
    """a module's weights by name"""
    return {prefix + k: v.detach().numpy() for k, v in module.state_dict().items()}


def bf16(v):
    """the bits of f32 numbers, rounded to nearest even"""
    bits = np.ascontiguousarray(v, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def rel(got, want):
    """relative L2 distance"""
    want = np.asarray(want, np.float64)
    return float(np.linalg.norm(np.asarray(got, np.float64) - want) / np.linalg.norm(want))


# ---- towers and decoders as functions of a table of weights by their published names, in float64 ----

def linear(w, name, x):
    y = x @ w[name + ".weight"].T
    return y + w[name + ".bias"] if name + ".bias" in w else y


def layer_norm(w, name, x, eps):
    x = x - x.mean(-1, keepdims=True)
    return x / ((x * x).mean(-1, keepdims=True) + eps).sqrt() * w[name + ".weight"] + w[name + ".bias"]


def attend(q, k, v, heads, seen=None):
    """[T,width] each; k and v may have fewer heads; seen [T,T]: what each row looks at"""
    split = lambda y, n: y.reshape(len(y), n, -1).transpose(0, 1)
    d = q.shape[1] // heads
    q, (k, v) = split(q, heads), (split(y, y.shape[1] // d).repeat_interleave(heads * d // y.shape[1], 0) for y in (k, v))
    s = q @ k.transpose(1, 2) / d ** 0.5
    if seen is not None:
        s = s.masked_fill(~seen, float("-inf"))
    return (s.softmax(-1) @ v).transpose(0, 1).reshape(len(q[0]), -1)


def llama(w, prefix, x, heads, eps, base, seen):
    """logits of each row of x [T,width], by Hugging Face's names behind the prefix; seen [T,T]"""
    import torch
    t, d = len(x), x.shape[1] // heads
    rms = lambda y, name: y / ((y * y).mean(-1, keepdims=True) + eps).sqrt() * w[prefix + name + ".weight"]
    angle = torch.arange(t, dtype=x.dtype)[:, None] * base ** (-torch.arange(0, d, 2, dtype=x.dtype) / d)
    cos, sin = (torch.cat([f, f], -1)[:, None] for f in (angle.cos(), angle.sin()))

    def turn(y):
        y = y.reshape(t, -1, d)
        return (y * cos + torch.cat([-y[..., d // 2:], y[..., :d // 2]], -1) * sin).reshape(t, -1)

    i = 0
    while prefix + f"model.layers.{i}.input_layernorm.weight" in w:
        of = lambda name, y: linear(w, f"{prefix}model.layers.{i}.{name}", y)
        h = rms(x, f"model.layers.{i}.input_layernorm")
        x = x + of("self_attn.o_proj", attend(turn(of("self_attn.q_proj", h)), turn(of("self_attn.k_proj", h)), of("self_attn.v_proj", h), heads, seen))
        h = rms(x, f"model.layers.{i}.post_attention_layernorm")
        x = x + of("mlp.down_proj", torch.nn.functional.silu(of("mlp.gate_proj", h)) * of("mlp.up_proj", h))
        i += 1
    return linear(w, prefix + "lm_head", rms(x, "model.norm"))


def causal(n):
    import torch
    return torch.ones(n, n, dtype=torch.bool).tril()


def letters_tokenizer(path, n, blank):
    """a tokenizer.json of n tokens as Llama's, but without merges: letters and bytes; the blank has id `blank`. Gives text -> ids"""
    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2, **{f"<0x{b:02X}>": 3 + b for b in range(256)}, **{chr(c): 259 + c - 33 for c in range(33, 127)}}
    vocab["\u2581"] = blank
    free = iter(sorted(set(range(n)) - set(vocab.values())))
    vocab.update((f"\u00a4{i}\u00a4", i) for i in free)
    special = [{"id": i, "content": t, "special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False} for t, i in list(vocab.items())[:3]]
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
    bos = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    with open(path, "w") as f:
        json.dump({"version": "1.0", "truncation": None, "padding": None, "added_tokens": special, "pre_tokenizer": None,
                   "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, replace]},
                   "post_processor": {"type": "TemplateProcessing", "single": bos, "pair": bos + [{"Sequence": {"id": "B", "type_id": 1}}],
                                      "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
                   "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"},
                                                                {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
                   "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, "vocab": vocab, "merges": []}}, f)

    def encode(text):
        return [i for c in "\u2581" + text.replace(" ", "\u2581") for i in ([vocab[c]] if c in vocab else [3 + b for b in c.encode()])]
    return encode
