"""bundle.py -- reads a saved model by the text of core/graph/bundle.h, without any of evla's code."""
import json
import struct

from op_oracle import np

formats = {"f32": np.float32, "f64": np.float64, "u8": np.uint8, "i8": np.int8, "i32": np.int32, "i64": np.int64}


def placed(data):
    """core/graph/bundle.h, read by its own text: the header; each part and where its bytes start"""
    version, zero, head, size = struct.unpack_from("<IIQQ", data, 8)
    assert data[:8] == b"evla\r\n\x1a\n" and version == 1 and zero == 0 and size == len(data)
    header = json.loads(data[32:32 + head])
    parts, first = {}, -(-(32 + head) // 64) * 64  # offsets count from the first part
    for name, text, at in header["parts"]:
        dtype, extents = text[:-1].split("[") if "[" in text else (text, "")
        shape = [int(e) for e in extents.split(",") if e]
        assert at % 64 == 0
        parts[name] = np.frombuffer(bytes(data), formats[dtype], int(np.prod(shape)), first + at).reshape(shape), first + at
    return header, parts


def bundle(path):
    with open(path, "rb") as f:
        header, parts = placed(f.read())
    return header, {k: v for k, (v, _) in parts.items()}


def far(got, want):
    """the greatest difference as a share of the greatest value"""
    return abs(got - want).max() / abs(want).max()
