#!/usr/bin/python3
"""tokenizer.t -- plugins/tokenizer on published vocabularies: llama.cpp's vectors token for token, and the way back."""
import os
import random
import sys
from tap import done, need, ok, skip
import tokenizer_oracle as o

need(o.RUNNER, *o.PLUGINS)
here = os.path.dirname(os.path.abspath(__file__))
data = os.environ.get("EVLA_TEST_DATA", os.path.join(here, "..", "..", "shared", "data"))
METHODS = {"gpt-2": "bpe", "falcon": "bpe", "llama-spm": "spm", "phi-3": "spm", "bert-bge": "wordpiece"}

if not os.path.isdir(os.path.join(data, "tokenizer")):
    print("1..0 # SKIP no vocabularies at EVLA_TEST_DATA")
    sys.exit(0)


def vocabulary(name):
    return os.path.join(data, "tokenizer", f"ggml-vocab-{name}.gguf")


def vectors(name):
    with open(vocabulary(name) + ".inp", encoding="utf-8", newline="") as f:
        texts = f.read().split("\n__ggml_vocab_test__\n")
    with open(vocabulary(name) + ".out") as f:
        return list(zip(texts, [[int(n) for n in line.split()] for line in f.read().split("\n")]))


def random_text(dice):
    kinds = [(0x20, 0x7f), (0x20, 0x21), (0x30, 0x3a), (0x61, 0x7b), (9, 11), (13, 14), (0xa0, 0x250), (0x370, 0x600), (0x4e00, 0x4f00), (0x1f300, 0x1f700), (0x300, 0x370)]
    return "".join(chr(dice.randrange(*dice.choice(kinds))) for _ in range(dice.randrange(60)))


def published():
    for name, method in METHODS.items():
        with o.Tokenizer(vocabulary(name)) as t:
            cases = vectors(name)
            wrong = [(text, t.encode(text), ids) for text, ids in cases if t.encode(text) != ids]
            ok(len(cases) == 47 and not wrong, f"{name}: 47 published texts give their published tokens", wrong)
            ok(t.info()["method"] == method, f"{name} is {method}")
            if method == "wordpiece":
                continue
            dice = random.Random(name)
            texts = [text for text, _ in cases] + [random_text(dice) for _ in range(500)]
            wrong = [s for s in texts if t.decode(t.encode(s)) != s.encode()]
            ok(not wrong, f"{name}: decoding gives the text back, random Unicode too", wrong)
            wrong = []
            for s in texts:
                parts = t.stream(t.encode(s))
                try:
                    whole = "".join(p.decode() for p in parts)
                except UnicodeDecodeError:
                    whole = None
                if whole != s:
                    wrong.append((s, parts))
            ok(not wrong, f"{name}: a stream gives the same text, whole characters at every step", wrong)


def lacking():
    with o.Tokenizer(vocabulary("falcon")) as t:
        ok(t.encode("a\x0bb") == t.encode("a") + t.encode("b"), "falcon has no token for a vertical tab: it is left out")


def story():
    path = os.path.join(data, "llm", "stories260K-f32.gguf")
    if not os.path.exists(path):
        return skip("the prompt of stories260K", "no such file")
    with o.Tokenizer(path) as t:
        ids = t.encode("Once upon a time", o.WHOLE)
        ok(ids == [1, 403, 407, 261, 378], "stories260K: the reference prompt's tokens", ids)
        ok(t.decode(ids) == b"Once upon a time" and t.decode(ids, o.SPECIAL) == b"<s> Once upon a time", "BOS is written only when it is wanted")


published()
lacking()
story()
done()
