"""llama.py -- Llama-like decoders in NumPy's float64, from the papers and by way of a GGUF reader of its own.

Nothing of evla's is used: the reader follows ggml's docs/gguf.md, the model Touvron et al. 2023, with rotary positions (Su et al.
2021) over neighbours or over halves, grouped heads (Ainslie et al. 2023) and SwiGLU (Shazeer 2020).
"""
import struct

from op_oracle import np

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


def gguf(path):
    """attributes and tensors (f32 and f16 only) of a file"""
    data = open(path, "rb").read()
    at = 0

    def take(form):
        nonlocal at
        out = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize("<" + form)
        return out[0] if len(out) == 1 else out

    def text():
        nonlocal at
        n = take("Q")
        at += n
        return data[at - n:at].decode("utf-8", "replace")

    def value(kind):
        if kind == 8:
            return text()
        if kind == 9:
            of, n = take("IQ")
            return [value(of) for _ in range(n)]
        return take(SCALARS[kind])

    magic, version, n_tensors, n_attrs = take("4sIQQ")
    assert magic == b"GGUF" and version == 3
    attrs = {}
    for _ in range(n_attrs):
        key = text()
        attrs[key] = value(take("I"))
    places = []
    for _ in range(n_tensors):
        name, n = text(), take("I")
        dims = [take("Q") for _ in range(n)]
        places.append((name, dims[::-1], *take("IQ")))
    align = attrs.get("general.alignment", 32)
    start = -(-at // align) * align
    tensors = {}
    for name, shape, kind, offset in places:
        n = int(np.prod(shape))
        tensors[name] = np.frombuffer(data, {0: np.float32, 1: np.float16}[kind], n, start + offset).reshape(shape)
    return attrs, tensors


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


def logits(attrs, w, ids, layers=None, seen=None):
    """of what follows each of the ids, [T, V], by a model in GGUF's names; seen [T, T]: which tokens each one looks at, else all up to itself"""
    arch = attrs["general.architecture"]
    get = lambda key: attrs[arch + "." + key]
    heads, kv, eps = get("attention.head_count"), get("attention.head_count_kv"), get("attention.layer_norm_rms_epsilon")
    base, d = attrs.get(arch + ".rope.freq_base", 10000.0), get("embedding_length") // heads
    w = {k: v.astype(np.float64) for k, v in w.items()}
    norm = lambda x, name: x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * w[name]
    x = w["token_embd.weight"][ids]
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
