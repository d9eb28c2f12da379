#!/usr/bin/python3
"""tokenizer_split.t -- how text is cut into words: plugins/tokenizer beside the published regular expressions.

Every two bytes merge, in an order drawn at random, so a word that ends elsewhere gives other tokens. The oracle cuts with
Python's regex module and merges with the few lines of `merge`.
"""
import os
import random
import sys
import tempfile
import unicodedata
from tap import done, need, ok
import tokenizer_oracle as o

need(o.RUNNER, *o.PLUGINS)
try:
    import regex
except ImportError:
    print("1..0 # SKIP python3-regex is not installed")
    sys.exit(0)

GPT_2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
MODERN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
RULES = {  # one after the other, each within what the last one left
    "gpt-2": [GPT_2],
    "smollm": [r"\p{N}", GPT_2],
    "llama-bpe": [MODERN % r"\p{N}{1,3}"],
    "qwen2": [MODERN % r"\p{N}"],
    "falcon": [r"[\p{P}\$\+<=>\^~\|`]+", GPT_2, "[0-9][0-9][0-9]"],
}
CHARS = o.byte_chars()
N_TEXTS = 300 if os.environ.get("EVLA_SAN") else 1500


def cut(text, rules):
    words = [text]
    for rule in rules:
        finer = []
        for word in words:
            at = 0
            for m in regex.finditer(rule, word, flags=regex.V1):
                finer += [word[at:m.start()], m.group()]
                at = m.end()
            finer.append(word[at:])
        words = [w for w in finer if w]
    return words


def merge(word, ranks):
    ids = list(word.encode())
    while True:
        best = min(((ranks.get(p, 1 << 30), i) for i, p in enumerate(zip(ids, ids[1:]))), default=(1 << 30, 0))
        if best[0] == 1 << 30:
            return ids
        i = best[1]
        ids[i:i + 2] = [256 + ids[i] * 256 + ids[i + 1]]


def random_text(dice):
    """Assigned characters only: what Unicode adds later is classed as each table was made."""
    kinds = [(0x20, 0x7f), (0x61, 0x7b), (0x30, 0x3a), (9, 14), (0x20, 0x21), (0x1c, 0x20), (0x80, 0x250), (0x2b0, 0x600), (0x900, 0xa00), (0x2000, 0x2070),
             (0x2100, 0x2200), (0x3000, 0x3100), (0x4e00, 0x4e80), (0xa600, 0xa700), (0xac00, 0xac40), (0xff00, 0xfff0), (0x1d400, 0x1d500), (0x1f300, 0x1f700), (0, 0xd800), (0xe000, 0x30000)]
    starts = ["'s", "'LL", "'Re", "'\u017f", "I'm", "  ", "\r\n", " \n ", "12345", " 123", "\u00a0", "don't", "!\n\n", " ?", "\u0661\u0662\u0663\u0664", "\u3000x", "\t", "$", "+1"]
    text = ""
    for _ in range(dice.randrange(40)):
        if dice.random() < 0.35:
            text += dice.choice(starts)
            continue
        few = dice.choice(kinds)
        text += "".join(chr(dice.randrange(*few)) for _ in range(dice.randrange(1, 5)))
    return "".join(c for c in text if unicodedata.category(c) not in ("Cn", "Cs", "Co"))


def vocabulary(pre):
    path = os.path.join(folder, pre + ".gguf")
    order = [(a, b) for a in range(256) for b in range(256)]
    random.Random(7).shuffle(order)
    tokens = [CHARS[b] for b in range(256)] + [CHARS[a] + CHARS[b] for a in range(256) for b in range(256)]
    o.write_gguf(path, {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": pre, "tokenizer.ggml.tokens": tokens,
                        "tokenizer.ggml.merges": [CHARS[a] + " " + CHARS[b] for a, b in order]})
    return path, {pair: i for i, pair in enumerate(order)}


with tempfile.TemporaryDirectory() as folder:
    dice = random.Random(11)
    texts = [random_text(dice) for _ in range(N_TEXTS)]
    for pre, rules in RULES.items():
        path, ranks = vocabulary(pre)
        with o.Tokenizer(path) as t:
            wrong = []
            n_words = 0
            for text in texts:
                words = cut(text, rules)
                n_words += len(words)
                want = [i for w in words for i in merge(w, ranks)]
                # a word that is one token is taken whole: the same here, since every pair is a token and merges
                if t.encode(text) != want:
                    wrong.append((text, words))
            ok(n_words > 3 * len(texts) and not wrong, f"{pre}: {n_words} words of random Unicode text are cut as its regular expressions cut them", wrong[:3])
            ok(t.info()["pre"] == pre, f"{pre} is known by that name")
done()
