"""gguf.py -- writes and reads GGUF files by the text of ggml's docs/gguf.md, without any of evla's code."""
import struct

from op_oracle import np

# type ids: name, elements and bytes of a block
TYPES = {0: ("f32", 1, 4), 1: ("f16", 1, 2), 2: ("q4_0", 32, 18), 3: ("q4_1", 32, 20), 6: ("q5_0", 32, 22), 7: ("q5_1", 32, 24), 8: ("q8_0", 32, 34),
         12: ("q4_k", 256, 144), 13: ("q5_k", 256, 176), 14: ("q6_k", 256, 210), 24: ("i8", 1, 1), 25: ("i16", 1, 2), 26: ("i32", 1, 4),
         27: ("i64", 1, 8), 28: ("f64", 1, 8), 30: ("bf16", 1, 2)}
IDS = {name: i for i, (name, _, _) in TYPES.items()}
VALUES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
U8, U32, F32, BOOL, TEXT, LIST = 0, 4, 6, 7, 8, 9


def text(t):
    t = t.encode() if isinstance(t, str) else t
    return struct.pack("<Q", len(t)) + t


def value(kind, v):
    return text(v) if kind == TEXT else struct.pack("<" + VALUES[kind], v)


def write(path, tensors, keys=(), pad=32, more=()):
    """tensors: name -> (type's name, extents, bytes); keys: (key, type, value), a list as (key, LIST, (type, values)); more: raw keys"""
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(keys) + len(more))
    for key, kind, v in keys:
        head += text(key) + struct.pack("<I", kind)
        head += value(kind, v) if kind != LIST else struct.pack("<IQ", v[0], len(v[1])) + b"".join(value(v[0], x) for x in v[1])
    head += b"".join(more)
    at, body = 0, b""
    for name, (kind, shape, raw) in tensors.items():
        head += text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *reversed(shape)) + struct.pack("<IQ", IDS[kind], len(body))
        body += raw + b"\0" * (-len(raw) % pad)
    with open(path, "wb") as f:
        f.write(head + b"\0" * (-len(head) % pad) + body)


def read(path, kinds=None):
    """name -> (type's name, extents, bytes), and key -> value; kinds, a dictionary: gets key -> its type, that of its items for a list"""
    with open(path, "rb") as f:
        raw = f.read()
    at = 0

    def take(form):
        nonlocal at
        out = struct.unpack_from("<" + form, raw, at)
        at += struct.calcsize("<" + form)
        return out[0] if len(out) == 1 else out

    def take_text():
        nonlocal at
        n = take("Q")
        at += n
        return raw[at - n:at]

    def take_value(kind):
        if kind == TEXT:
            return take_text()
        if kind == LIST:
            kind, n = take("IQ")
            return [take_value(kind) for _ in range(n)]
        return take(VALUES[kind])

    magic, version, n_tensors, n_keys = take("4sIQQ")
    assert magic == b"GGUF" and version == 3
    keys = {}
    for _ in range(n_keys):
        key, kind = take_text().decode(), take("I")
        if kinds is not None:
            kinds[key] = kind if kind != LIST else struct.unpack_from("<I", raw, at)[0]
        keys[key] = take_value(kind)
    found = []
    for _ in range(n_tensors):
        name, rank = take_text().decode(), take("I")
        shape = [take("Q") for _ in range(rank)]
        found.append((name, shape[::-1], *take("IQ")))
    start = at + -at % 32
    out = {}
    for name, shape, kind, place in found:
        name_of, elements, size = TYPES[kind]
        n = int(np.prod(shape, dtype=np.int64)) // elements * size
        assert place % 32 == 0 and start + place + n <= len(raw)
        out[name] = name_of, shape, raw[start + place:start + place + n]
    return out, keys


def numbers(kind, raw):
    if kind == "bf16":
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(raw, {"f32": "<f4", "f16": "<f2", "f64": "<f8", "i8": "i1", "i16": "<i2", "i32": "<i4", "i64": "<i8"}[kind])
