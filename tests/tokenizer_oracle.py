"""tokenizer_oracle.py -- speaks to build/tests/tokenizer_runner, and writes small GGUF vocabularies, for tests."""
import os
import struct
import subprocess

BUILD = os.environ.get("EVLA_BUILD", "build")
RUNNER = os.path.join(BUILD, "tests", "tokenizer_runner")
PLUGINS = [os.path.join(BUILD, "plugins", name + ".so") for name in ("tokenizer", "gguf")]
WHOLE, SPECIAL = 1, 2
NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = range(1, 7)


class Refused(Exception):
    pass


class Tokenizer:
    """an open tokenizer; Refused when the file is"""
    def __init__(self, path):
        self.run = subprocess.Popen([RUNNER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            self.answer()
        except Refused:
            self.run.communicate()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.run.communicate()

    def answer(self):
        head = self.run.stdout.read(8)
        if len(head) < 8:
            raise SystemExit("tokenizer_runner died")
        status, n = struct.unpack("=iI", head)
        data = self.run.stdout.read(n)
        if status < 0:
            raise Refused(data.decode())
        return data

    def ask(self, what, data, flags=0):
        self.run.stdin.write(struct.pack("=cII", what, flags, len(data)) + data)
        self.run.stdin.flush()
        return self.answer()

    def info(self):
        return dict(line.split("=", 1) for line in self.ask(b"i", b"").decode().splitlines())

    def encode(self, text, flags=0):
        data = self.ask(b"e", text if isinstance(text, bytes) else text.encode(), flags)
        return list(struct.unpack(f"={len(data) // 4}i", data))

    def decode(self, ids, flags=0):
        return self.ask(b"d", struct.pack(f"={len(ids)}i", *ids), flags)

    def stream(self, ids):
        data, parts = self.ask(b"s", struct.pack(f"={len(ids)}i", *ids)), []
        while data:
            n = struct.unpack("=I", data[:4])[0]
            parts.append(data[4:4 + n])
            data = data[4 + n:]
        return parts

    def find(self, piece):
        return struct.unpack("=i", self.ask(b"f", piece.encode()))[0]

    def ends(self, ids):
        return list(self.ask(b"x", struct.pack(f"={len(ids)}i", *ids)))

    def chat(self, messages):
        return self.ask(b"c", b"".join(m[k].encode() + b"\0" for m in messages for k in ("role", "content"))).decode()


def write_gguf(path, attrs):
    """attrs: name -> text, bool, int, or a list of texts (str or bytes), ints or floats"""
    def text(s):
        b = s if isinstance(s, bytes) else s.encode()
        return struct.pack("<Q", len(b)) + b

    def value(v):
        if isinstance(v, bool):
            return struct.pack("<IB", 7, v)
        if isinstance(v, int):
            return struct.pack("<II", 4, v)
        if isinstance(v, (str, bytes)):
            return struct.pack("<I", 8) + text(v)
        if v and isinstance(v[0], float):
            return struct.pack(f"<IIQ{len(v)}f", 9, 6, len(v), *v)
        if v and isinstance(v[0], int):
            return struct.pack(f"<IIQ{len(v)}i", 9, 5, len(v), *v)
        return struct.pack("<IIQ", 9, 8, len(v)) + b"".join(map(text, v))

    with open(path, "wb") as f:
        f.write(struct.pack("<4sIQQ", b"GGUF", 3, 0, len(attrs)))
        for name, v in attrs.items():
            f.write(text(name) + value(v))


def byte_chars():
    """GPT-2's characters for the 256 bytes"""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in plain]
    return {**{b: chr(b) for b in plain}, **{b: chr(256 + i) for i, b in enumerate(rest)}}
