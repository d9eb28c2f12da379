"""op_oracle.py -- speaks to build/tests/op_runner, and TAP, for tests whose oracle is numpy.

Values are computed by the plugin in f32 and by numpy in f64 from the same f32 inputs. Bounds are
derived, not tuned: U is half a unit in the last place, and a sum in the plugins' order of K terms
passes through at most 64 + 3 + K/512 + 1 roundings (plugins/ops/order.h).
"""
import hashlib
import json
import os
import subprocess
import sys

try:
    import numpy as np
except ImportError:
    print("1..0 # SKIP python3-numpy is not installed")
    sys.exit(0)

BUILD = os.environ.get("EVLA_BUILD", "build")
U = 2.0 ** -24
SMALL = 2.0 ** -149
NAMES = {"float32": "f32", "float64": "f64", "int8": "i8", "int16": "i16", "int32": "i32",
         "int64": "i64", "uint8": "u8", "uint16": "u16", "uint32": "u32", "uint64": "u64",
         "bool": "bool", "float16": "f16"}
DTYPES = {v: np.dtype(k) for k, v in NAMES.items()}
DTYPES["bf16"] = np.dtype("uint16")


def roundings(k):
    """of one sum of k products, in units of U, each relative to the sum of magnitudes"""
    return min(k, 64) + 3 + k // 512 + 2


class Refused(Exception):
    def __init__(self, code, why):
        super().__init__(why)
        self.code, self.why = code, why


class Bf16:
    """bf16 codes, carried as uint16"""
    def __init__(self, codes):
        self.codes = codes


# formats of plugins: numbers and bytes of a block
BLOCKS = {"f16": (1, 2), "bf16": (1, 2), "q8_0": (32, 34)}


class Coded:
    """a tensor in a plugin's format: its shape in numbers, and its bytes [..., bytes of a row]"""
    def __init__(self, name, shape, codes):
        self.name, self.shape, self.codes = name, tuple(shape), codes


class Weight:
    """an input that infer must type"""
    def __init__(self, value):
        self.value = value


class Runner:
    runner = "tests/op_runner"

    def __init__(self, *plugins):
        runner = os.path.join(BUILD, self.runner)
        paths = [p if "/" in p else os.path.join(BUILD, "plugins", p + ".so") for p in plugins]
        for need in [runner] + paths:
            if not os.path.exists(need):
                print(f"1..0 # SKIP {need} is not built")
                sys.exit(0)
        self.bits = hashlib.sha256()
        self.p = subprocess.Popen([runner] + paths, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def line(self, text):
        self.p.stdin.write(text.encode() + b"\n")

    def send(self, verb, v):
        if isinstance(v, Coded):
            self.line(" ".join([verb, v.name, str(len(v.shape))] + [str(n) for n in v.shape]))
            self.p.stdin.write(np.ascontiguousarray(v.codes).tobytes())
            return
        name = "bf16" if isinstance(v, Bf16) else NAMES[v.dtype.name]
        v = v.codes if isinstance(v, Bf16) else v
        self.line(" ".join([verb, name, str(v.ndim)] + [str(n) for n in v.shape]))
        self.p.stdin.write(np.ascontiguousarray(v).tobytes())

    @staticmethod
    def text(v):
        if isinstance(v, bool):
            return "true" if v else "false"
        if isinstance(v, (list, tuple)):
            return "{" + ", ".join(str(int(i)) for i in v) + "}"
        return repr(v) if isinstance(v, float) else str(v)

    def run(self, op, *inputs, tails=(), kernel=None, label=None, infer=False, **params):
        """The output (a list where there are several), or Refused. Python ints and floats are f32 scalars, None is absent."""
        self.line(f"node {op} {label or 'test/' + op + '.0'}")
        if kernel:
            self.line(f"kernel {kernel}")
        for name, v in params.items():
            self.line(f"param {name} {self.text(v)}")
        for v in inputs:
            if v is None:
                self.line("in none")
            elif isinstance(v, Weight):
                self.send("weight", v.value)
            else:
                self.send("in", v)
        for t in tails:
            name, other, is_rhs, more = tuple(t) + (-1, 0, {})[len(t) - 1:]
            self.line(f"tail {name} {other} {is_rhs}")
            for k, v in more.items():
                self.line(f"tparam {k} {self.text(v)}")
        self.line("infer" if infer else "run")
        self.p.stdin.flush()
        head = self.p.stdout.readline().decode().split(None, 2)
        if not head:
            raise SystemExit(f"Bail out! op_runner died on {op}")
        if head[0] == "fail":
            raise Refused(int(head[1]), head[2].strip())
        answers = [self.output(infer) for _ in range(int(head[1]))]
        return answers[0] if len(answers) == 1 else answers

    def output(self, infer):
        name, _, *shape = self.p.stdout.readline().decode().split()
        shape = [int(n) for n in shape]
        if infer:
            return name, shape
        if name not in DTYPES:
            elements, size = BLOCKS[name]
            shape[-1] = -(-shape[-1] // elements) * size  # a row may end inside its last block
            name = "u8"
        dtype = DTYPES[name]
        count = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        y = np.frombuffer(self.read(count), dtype).reshape(shape)
        self.bits.update(np.where(np.isnan(y), dtype.type(np.nan), y).tobytes() if dtype.kind == "f" else y.tobytes())
        return y

    def read(self, count):
        data = self.p.stdout.read(count)
        assert len(data) == count
        return data

    def transcode(self, verb, name, v, out):
        self.line(f"{verb} {name} {v.size}")
        self.p.stdin.write(v.tobytes())
        self.p.stdin.flush()
        return np.frombuffer(self.read(v.size * np.dtype(out).itemsize), out)

    def finish(self):
        """Two builds, or two machines, that print the same line agree in every bit (NaNs but for their sign)."""
        print(f"# bits of all outputs: {self.bits.hexdigest()[:16]}")
        self.p.stdin.close()
        return self.p.wait()


class Grads(Runner):
    """the same for gradients: build/tests/grad_runner"""
    runner = "tests/grad_runner"

    def grads(self, op, inputs, seeds, want, **params):
        self.line(f"node {op} x")
        for k, v in params.items():
            self.line(f"param {k} {json.dumps(v)}")
        for v in inputs:
            self.line("in none") if v is None else self.send("in", v)
        for i in want:
            self.line(f"want {i}")
        for v in seeds:
            self.line("seed none") if v is None else self.send("seed", v)
        self.line("run")
        self.p.stdin.flush()
        head = self.p.stdout.readline().decode().split(None, 2)
        if not head:
            raise SystemExit(f"Bail out! grad_runner died on {op}")
        if head[0] == "fail":
            raise Refused(int(head[1]), head[2].strip())
        return [self.output(False) for _ in range(int(head[1]))]


class Close:
    """Gathers comparisons of one claim; the worst error is told as a share of its bound."""
    def __init__(self, tap):
        self.tap, self.worst, self.why, self.n = tap, 0.0, "", 0

    def see(self, got, want, bound, what=""):
        self.n += 1
        want = np.asarray(want)
        if got.shape != want.shape:
            self.worst, self.why = np.inf, f"{what}: shape {got.shape}, want {want.shape}"
            return
        got = got.astype(np.float64)
        same = (got == want) | (np.isnan(got) & np.isnan(want))
        with np.errstate(all="ignore"):
            share = np.where(same, 0.0, np.abs(got - want) / (np.asarray(bound) + SMALL))
        share = np.where(np.isnan(share), np.inf, share)
        if share.size and share.max() > self.worst:
            self.worst, self.why = float(share.max()), what

    def exact(self, got, want, what=""):
        self.n += 1
        want = np.asarray(want)
        if got.shape != want.shape or got.dtype != want.dtype or got.tobytes() != want.tobytes():
            self.worst, self.why = np.inf, f"{what}: got {got.dtype}{got.shape}, want " \
                                           f"{want.dtype}{want.shape}, or other values"

    def done(self, title, reason=""):
        how = f"worst at {self.worst:.2f} of the bound" + (f", {reason}" if reason else "") \
            if self.worst else "exact"
        bad = f"; {self.why}" if self.worst > 1 else ""
        self.tap.ok(self.worst <= 1, f"{title}: {self.n} cases, {how}{bad}")
