"""llama.py -- Llama-like decoders in NumPy's float64, from the papers, over files that gguf.py reads.

Nothing of evla's is used; the model follows Touvron et al. 2023, with rotary positions (Su et al.
2021) over neighbours or over halves, grouped heads (Ainslie et al. 2023) and SwiGLU (Shazeer 2020).
"""
from gguf import numbers, read
from op_oracle import np


def gguf(path):
    """attributes and tensors of a file, texts as text"""
    tensors, keys = read(path)
    plain = lambda v: v.decode("utf-8", "replace") if isinstance(v, bytes) else [plain(x) for x in v] if isinstance(v, list) else v
    return {k: plain(v) for k, v in keys.items()}, {k: numbers(kind, raw).reshape(shape) for k, (kind, shape, raw) in tensors.items()}


def turn(x, heads, base, interleaved):
    """rotary positions of x [T, heads * D]"""
    t, width = x.shape
    d = width // heads
    x = x.reshape(t, heads, d)
    angle = np.arange(t)[:, None] * base ** (-np.arange(0, d, 2) / d)
    z = np.exp(1j * angle)[:, None, :]
    if interleaved:
        y = (x[..., 0::2] + 1j * x[..., 1::2]) * z
        return np.stack([y.real, y.imag], -1).reshape(t, width)
    y = (x[..., :d // 2] + 1j * x[..., d // 2:]) * z
    return np.concatenate([y.real, y.imag], -1).reshape(t, width)


def logits(attrs, w, ids, layers=None, seen=None, rows=None):
    """of what follows each of the ids, [T, V], by a model in GGUF's names; seen [T, T]: which tokens each one looks at, else all up to itself;
    rows: embeddings that stand, in order, where ids are -1"""
    arch = attrs["general.architecture"]
    get = lambda key: attrs[arch + "." + key]
    heads, kv, eps = get("attention.head_count"), get("attention.head_count_kv"), get("attention.layer_norm_rms_epsilon")
    base, d = attrs.get(arch + ".rope.freq_base", 10000.0), get("embedding_length") // heads
    w = {k: v.astype(np.float64) for k, v in w.items()}
    norm = lambda x, name: x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * w[name]
    x = w["token_embd.weight"][ids]
    if rows is not None:
        x[np.array(ids) < 0] = rows
    t = len(ids)
    for i in range(get("block_count") if layers is None else layers):
        linear = lambda y, name: y @ w[f"blk.{i}.{name}.weight"].T + w.get(f"blk.{i}.{name}.bias", 0)
        h = norm(x, f"blk.{i}.attn_norm.weight")
        q, k, v = (linear(h, name) for name in ("attn_q", "attn_k", "attn_v"))
        q, k = turn(q, heads, base, arch == "llama"), turn(k, kv, base, arch == "llama")
        q = q.reshape(t, heads, d)
        k, v = (np.repeat(y.reshape(t, kv, d), heads // kv, axis=1) for y in (k, v))
        s = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(d)
        s = np.where(np.tril(np.ones((t, t), bool)) if seen is None else seen, s, -np.inf)
        p = np.exp(s - s.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        x = x + linear(np.einsum("hqk,khd->qhd", p, v).reshape(t, heads * d), "attn_output")
        h = norm(x, f"blk.{i}.ffn_norm.weight")
        gate = linear(h, "ffn_gate")
        x = x + linear(gate / (1 + np.exp(-gate)) * linear(h, "ffn_up"), "ffn_down")
    return norm(x, "output_norm.weight") @ w.get("output.weight", w["token_embd.weight"]).T
