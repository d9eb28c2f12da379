#!/usr/bin/python3
"""words.t -- plugins/words: ids of words against an independent computation, and every refusal's sentence."""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tap
from op_oracle import Refused, Runner, np

ops = Runner("words")
rng = np.random.default_rng(3)


def fnv1a(word):
    h = 2166136261
    for byte in word:
        h = (h ^ byte) * 16777619 % 2**32
    return h


def oracle(text, words, vocabulary):
    found = [w.translate(bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"abcdefghijklmnopqrstuvwxyz"))
             for w in re.findall(rb"[A-Za-z0-9\x80-\xff]+", text)][:words]
    return [1 + fnv1a(w) % (vocabulary - 1) for w in found] + [0] * (words - len(found))


def padded(texts, length):
    out = np.zeros((len(texts), length), np.uint8)
    for row, t in zip(out, texts):
        row[:min(len(t), length)] = np.frombuffer(t[:length], np.uint8)
    return out


# from the authors' own test vectors: FNV-1a, 32 bits, of "" "a" "foobar"
tap.ok([fnv1a(b""), fnv1a(b"a"), fnv1a(b"foobar")] == [0x811c9dc5, 0xe40c292c, 0xbf9cf968], "the oracle hashes as published")

texts = [b"put the red mug under the spout", b"  Put,the RED\tmug: under-the-spout!", b"", b"...", b"a", b"42 pods",
         "b\u00f6se Kanne".encode(), b"x" * 200, b"one two three four five six seven eight nine", b"end."]
for words, vocabulary in ((16, 1024), (3, 2), (1, 7), (40, 2**24)):
    for length in (96, 7, 1):
        x = padded(texts, length)
        y = ops.run("word_ids", x, words=words, vocabulary=vocabulary)
        want = np.array([oracle(bytes(r), words, vocabulary) for r in x], np.int32)
        tap.ok(y.dtype == np.int32 and y.shape == want.shape and (y == want).all(),
               f"{words} words of {vocabulary} from {length} bytes")
x = rng.integers(0, 256, (5, 30, 64)).astype(np.uint8)
y = ops.run("word_ids", x, words=12, vocabulary=997)
want = np.array([[oracle(bytes(r), 12, 997) for r in m] for m in x], np.int32)
tap.ok((y == want).all(), "any bytes at all, in more dimensions")
y = ops.run("word_ids", padded(texts[:2], 96))
tap.ok((y[0] == y[1]).all() and y.shape == (2, 16), "case, blanks and punctuation do not matter; presets are 16 and 1024")
tap.ok(ops.run("word_ids", np.zeros((0, 8), np.uint8)).shape == (0, 16), "no sentences, no ids")
tap.ok((ops.run("word_ids", np.zeros((2, 0), np.uint8)) == 0).all(), "sentences of no bytes have no words")

for what, x, code, words in (("f32", np.zeros((1, 4), np.float32), -3, "want bytes of text"),
                             ("a scalar", np.zeros((), np.uint8), -2, "want [...,L]")):
    try:
        ops.run("word_ids", x)
        tap.ok(False, f"{what} is refused")
    except Refused as r:
        tap.ok(r.code == code and words in r.why and "word_ids" in r.why, f"{what} is refused: {r.why}")
tap.ok(ops.finish() == 0, "the runner ends well")
tap.done()
