"""torch_cases.py -- weights that PyTorch drew, as safetensors files, and how far two answers are apart."""
import json
import struct

from op_oracle import np


def save(path, tensors):
    """name -> array, as a safetensors file in their own number formats"""
    kinds = {"float32": "F32", "int32": "I32", "int64": "I64", "uint8": "U8"}
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


def rel(got, want):
    """relative L2 distance"""
    want = np.asarray(want, np.float64)
    return float(np.linalg.norm(np.asarray(got, np.float64) - want) / np.linalg.norm(want))
