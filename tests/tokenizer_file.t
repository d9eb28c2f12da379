#!/usr/bin/python3
"""tokenizer_file.t -- tokenizer.json: published vocabularies in that form give their published tokens; what is not known is refused."""
import copy
import json
import os
import random
import struct
import sys
import tempfile
import unicodedata
from tap import done, need, ok
import tokenizer_oracle as o

need(o.RUNNER, *o.PLUGINS)
here = os.path.dirname(os.path.abspath(__file__))
data = os.environ.get("EVLA_TEST_DATA", os.path.join(here, "..", "..", "shared", "data"))
MARK = "\u2581"
CHARS = o.byte_chars()
MODERN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
SPLIT = {"type": "Split", "pattern": {"Regex": MODERN}, "behavior": "Isolated", "invert": False}


def sequence(*steps, of="pretokenizers"):
    return {"type": "Sequence", of: list(steps)}


LLAMA = sequence({"type": "Prepend", "prepend": MARK}, {"type": "Replace", "pattern": {"String": " "}, "content": MARK}, of="normalizers")


def template(before, behind):
    def one(name):
        return {"SpecialToken": {"id": name, "type_id": 0}}
    return {"type": "TemplateProcessing", "single": [one(n) for n in before] + [{"Sequence": {"id": "A", "type_id": 0}}] + [one(n) for n in behind], "pair": [], "special_tokens": {}}


def added(id, text, special=True, **more):
    return {"id": id, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": special, **more}


def document(model, **more):
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None, "post_processor": None,
            "decoder": None, "model": model, **more}


def bpe(vocab, merges, **more):
    return {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
            "byte_fallback": False, "vocab": vocab, "merges": merges, **more}


def store(doc, config=None, chat=None):
    for name in ("tokenizer_config.json", "chat_template.jinja"):
        if os.path.exists(os.path.join(folder, name)):
            os.remove(os.path.join(folder, name))
    if chat is not None:
        with open(os.path.join(folder, "chat_template.jinja"), "w") as f:
            f.write(chat)
    with open(os.path.join(folder, "tokenizer.json"), "w", encoding="utf-8") as f:
        f.write(doc if isinstance(doc, str) else json.dumps(doc, ensure_ascii=random.random() < 0.5))
    beside = os.path.join(folder, "tokenizer_config.json")
    if config is not None:
        with open(beside, "w") as f:
            f.write(config if isinstance(config, str) else json.dumps(config))
    return os.path.join(folder, "tokenizer.json")


def open_file(doc, config=None, chat=None):
    return o.Tokenizer(store(doc, config, chat))


def refusal(doc, config=None):
    try:
        with open_file(doc, config) as t:
            return "taken: " + str(t.info())
    except o.Refused as why:
        return str(why)


# ---- published vocabularies ----

def gguf(name):
    """the lists of a published file, by key"""
    formats = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
    with open(os.path.join(data, "tokenizer", f"ggml-vocab-{name}.gguf"), "rb") as f:
        def number(c):
            return struct.unpack("<" + c, f.read(struct.calcsize(c)))[0]

        def text():
            return f.read(number("Q")).decode("utf-8", "replace")

        def value(kind):
            if kind == 8:
                return text()
            if kind == 9:
                of, n = number("I"), number("Q")
                return [value(of) for _ in range(n)]
            return number(formats[kind])

        f.read(16)
        return {text(): value(number("I")) for _ in range(number("Q"))}


def check_vectors(title, name, doc, config=None):
    base = os.path.join(data, "tokenizer", f"ggml-vocab-{name}.gguf")
    with open(base + ".inp", encoding="utf-8", newline="") as f:
        texts = f.read().split("\n__ggml_vocab_test__\n")
    with open(base + ".out") as f:
        wants = [[int(n) for n in line.split()] for line in f.read().split("\n")]
    with open_file(doc, config) as t:
        wrong = [(s, t.encode(s), w) for s, w in zip(texts, wants) if t.encode(s) != w]
        ok(len(texts) == 47 and not wrong, f"{title}: 47 published texts give their published tokens", wrong[:3])
        return t.info()


def published():
    if not os.path.isdir(os.path.join(data, "tokenizer")):
        print("# no vocabularies at EVLA_TEST_DATA: the published ones are left out")
        return
    g = gguf("gpt-2")
    vocab = {t: i for i, t in enumerate(g["tokenizer.ggml.tokens"])}
    end = vocab.pop("<|endoftext|>")
    for title, merges in (("as texts", g["tokenizer.ggml.merges"]), ("as pairs", [m.split(" ") for m in g["tokenizer.ggml.merges"]])):
        info = check_vectors("GPT-2, merges " + title, "gpt-2", document(bpe(vocab, merges), added_tokens=[added(end, "<|endoftext|>")], pre_tokenizer=BYTE_LEVEL))
    ok(info["pre"] == "gpt-2" and info["method"] == "bpe", "GPT-2's steps are recognised", info)

    g = gguf("llama-spm")
    tokens, scores = g["tokenizer.ggml.tokens"], g["tokenizer.ggml.scores"]
    vocab = {t: i for i, t in enumerate(tokens)}
    merges = []
    for t in tokens[259:]:  # every way to make a piece of two, in the order in which pieces merge
        ways = [(vocab[t[:k]], vocab[t[k:]], t[:k], t[k:]) for k in range(1, len(t)) if t[:k] in vocab and t[k:] in vocab]
        merges += [(-scores[vocab[t]], i, left, right) for i, (_, _, left, right) in enumerate(sorted(ways))]
    merges = [f"{left} {right}" for _, _, left, right in sorted(merges, key=lambda m: m[:2])]
    special = [added(0, "<unk>"), added(1, "<s>"), added(2, "</s>")]
    doc = document(bpe(vocab, merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True), added_tokens=special, normalizer=LLAMA, post_processor=template(["<s>"], []))
    info = check_vectors("Llama 2", "llama-spm", doc, {"bos_token": {"content": "<s>"}, "eos_token": "</s>", "chat_template": "[INST] <<SYS>> bos_token"})
    ok((info["method"], info["bos"], info["eos"], info["unk"], info["adds_bos"], info["adds_eos"], info["chat"]) == ("spm", "1", "2", "0", "1", "0", "llama-2"),
       "Llama 2: special tokens and chat come from tokenizer_config.json, BOS from the post_processor", info)

    g = gguf("bert-bge")
    plain = [t if k == 3 else t[1:] if t.startswith(MARK) else "##" + t for t, k in zip(g["tokenizer.ggml.tokens"], g["tokenizer.ggml.token_type"])]
    special = [added(i, t) for i, t in enumerate(plain) if t in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")]
    doc = document({"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": {t: i for i, t in enumerate(plain)}},
                   added_tokens=special, normalizer={"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
                   pre_tokenizer={"type": "BertPreTokenizer"}, post_processor=template(["[CLS]"], ["[SEP]"]))
    info = check_vectors("BERT", "bert-bge", doc)
    ok((info["method"], info["bos"], info["eos"], info["adds_bos"], info["adds_eos"]) == ("wordpiece", "101", "102", "1", "1"), "BERT: CLS and SEP come from the post_processor", info)


# ---- small ones ----

def small(**more):
    """the bytes, and a few merges"""
    vocab = {CHARS[b]: b for b in range(256)}
    merges = ["h e", "l l", "he ll", "hell o", "\u0120 hello"]
    for m in merges:
        vocab[m.replace(" ", "")] = len(vocab)
    return document(bpe(vocab, merges), **{"pre_tokenizer": BYTE_LEVEL, "added_tokens": [added(261, "<end>"), added(262, "<tool>", special=False)], **more})


def composing():
    doc = small(normalizer={"type": "NFC"})
    dice = random.Random(3)
    kinds = [(0x300, 0x370), (0x41, 0x5b), (0xc0, 0x250), (0x1100, 0x1200), (0xac00, 0xad00), (0x900, 0xdff), (0x1e00, 0x2000), (0x1d100, 0x1d200), (0x30a0, 0x30ff), (0xf900, 0xfb50), (0x20d0, 0x20f0)]
    texts = ["".join(chr(dice.randrange(*dice.choice(kinds))) for _ in range(dice.randrange(30))) for _ in range(3000)]
    texts += [chr(c) + "\u0301" for c in range(0x20, 0x30000) if unicodedata.decomposition(chr(c)) and not 0xd800 <= c < 0xe000]
    texts += ["e" + "\u0301\u0323" * 50000]
    with open_file(doc) as t:
        wrong = [s for s in texts if t.decode(t.encode(s)).decode() != unicodedata.normalize("NFC", s)]
        ok(not wrong, f"NFC: {len(texts)} texts come out as Python's unicodedata has them", [s[:40] for s in wrong[:5]])


def tokens():
    doc = small()
    doc["added_tokens"] += [added(263, "<l>", lstrip=True), added(264, "<r>", rstrip=True)]
    with open_file(doc, {"eos_token": "<end>", "unk_token": None}) as t:
        ok(t.encode("hello hello") == [259, 260], "merges apply in their order")
        ok(t.encode("a<tool>b") == [97, 262, 98] and t.encode("a<tool>b", o.SPECIAL) == [97, 262, 98], "a token that is not special stands in any text")
        ok(261 not in t.encode("a<end>b") and t.encode("a<end>b", o.SPECIAL) == [97, 261, 98], "a special one only when it is wanted")
        ok(t.encode("a \t<l> b", o.SPECIAL) == [97, 263, 220 - 188, 98] and t.encode("a <r>\n\u3000b", o.SPECIAL) == [97, 32, 264, 98],
           "lstrip and rstrip swallow white space", (t.encode("a \t<l> b", o.SPECIAL), t.encode("a <r>\n\u3000b", o.SPECIAL)))
        ok(t.decode([97, 261, 262, 98]) == b"a<tool>b" and t.decode([97, 261, 98], o.SPECIAL) == b"a<end>b", "decoding leaves special tokens out, or names them")
        ok(t.ends([261, 97, 262, -1, 9999]) == [1, 0, 0, 0, 0] and t.info()["eos"] == "261", "EOS of tokenizer_config.json ends a generation")
        ok(t.find("hello") == 259 and t.find("nothing") == -1, "a piece is found by its text")
    doc = small(post_processor=sequence({"type": "ByteLevel", "trim_offsets": True}, template(["<end>"], ["<tool>"]), of="processors"))
    with open_file(doc) as t:
        ok(t.encode("a", o.WHOLE) == [261, 97, 262] and t.encode("a") == [97] and t.encode("", o.WHOLE) == [261, 262], "a whole text gets what the post_processor says, others do not")
    doc = small(pre_tokenizer=sequence(SPLIT, {**BYTE_LEVEL, "use_regex": False}))
    doc["model"]["vocab"]["zz"] = 263
    plain = copy.deepcopy(doc)
    doc["model"]["ignore_merges"] = True
    with open_file(doc) as t, open_file(plain) as u:
        ok(t.encode("zz") == [263] and u.encode("zz") == [122, 122], "ignore_merges: a word that is a token is one, without a merge that makes it")


def templates():
    chatml = "<|im_start|> <|im_end|>"
    for title, config, chat in (("a text", {"chat_template": chatml}, None), ("a file of its own", {"chat_template": "x"}, chatml),
                                ("one of several", {"chat_template": [{"name": "tools", "template": "x"}, {"name": "default", "template": chatml}]}, None)):
        with open_file(small(), config, chat) as t:
            ok(t.chat([{"role": "user", "content": "hello"}]) == "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n", f"a chat template: {title}")


def prefixes():
    vocab = {"<unk>": 0, **{f"<0x{b:02X}>": 1 + b for b in range(256)}, MARK: 257, "a": 258, MARK + "a": 259}
    model = bpe(vocab, [f"{MARK} a"], byte_fallback=True, unk_token="<unk>")
    special = [added(0, "<unk>"), added(260, "<x>")]
    want = {"normalizer": [259, 260, 259, 257, 259], "always": [259, 260, 259, 259], "first": [259, 260, 258, 259], "never": [258, 260, 258, 259]}
    for scheme, ids in want.items():
        steps = {"normalizer": LLAMA} if scheme == "normalizer" else {"pre_tokenizer": {"type": "Metaspace", "replacement": MARK, "prepend_scheme": scheme, "split": False}}
        text = "a<x>a" + ("<x> a" if scheme == "normalizer" else " a")
        if scheme == "normalizer":
            ids = [259, 260, 259, 260, 257, 259]
        with open_file(document(model, added_tokens=special, **steps)) as t:
            ok(t.encode(text, o.SPECIAL) == ids, f"a blank before text: {scheme}", (t.encode(text, o.SPECIAL), ids))
            ok(t.encode("\u00e9")[-2:] == [1 + 0xc3, 1 + 0xa9] and t.decode(t.encode("\u00e9 \U0001f600")) == "\u00e9 \U0001f600".encode(), f"{scheme}: what no piece has falls back to its bytes")


# ---- refusals ----

def refusals():
    def bad(title, change, *parts, config=None):
        doc = copy.deepcopy(small())
        doc = change(doc) or doc
        why = refusal(doc, config)
        ok(all(p in why for p in parts) and "\n" not in why, title + ": " + why[:110].replace(folder, ""), why)

    def put(*path, to):
        def change(doc):
            at = doc
            for key in path[:-1]:
                at = at[key]
            at[path[-1]] = to
        return change

    bad("no JSON", lambda d: "{\"model\": ", "tokenizer.json: no JSON: the text goes wrong at byte")
    bad("an empty file", lambda d: " ", "no JSON")
    bad("a list", lambda d: "[]", "want a JSON object")
    bad("deep nesting", lambda d: "[" * 100000, "no JSON")
    bad("no model", put("model", to=None), "vocab is missing")
    bad("another model", put("model", "type", to="Unigram"), "Unigram", "BPE or WordPiece")
    bad("no merges", put("model", "merges", to=None), "merges is missing")
    bad("a merge of an unknown piece", put("model", "merges", to=["h e", "q q"]), "merge 1", "no token")
    bad("a merge with an unknown part", put("model", "merges", to=[["h", "eel"]]), "merge 0", "right part")
    bad("a merge that is none", put("model", "merges", to=["he"]), "merge 0", "no pair")
    bad("a merge of three", put("model", "merges", to=[["h", "e", "l"]]), "no pair")
    bad("a negative id", put("model", "vocab", "!", to=-1), '"!"', "id")
    bad("half an id", put("model", "vocab", "!", to=1.5), '"!"', "id")
    bad("an id far away", put("model", "vocab", "!", to=1 << 30), '"!"', "id")
    bad("two tokens with one id", put("model", "vocab", "!", to=34), "same id 34")
    bad("a piece of 2000 bytes", put("model", "vocab", "x" * 2000, to=263), "2000 bytes", "1024")
    bad("word marks", put("model", "end_of_word_suffix", to="</w>"), "end of words")
    bad("an unknown regular expression", put("pre_tokenizer", to=sequence({**SPLIT, "pattern": {"Regex": r"\w+|\s"}}, {**BYTE_LEVEL, "use_regex": False})), r"\w+|\s", "llama-bpe")
    bad("a blank before words", put("pre_tokenizer", "add_prefix_space", to=True), "add_prefix_space")
    bad("an unknown step", put("pre_tokenizer", to={"type": "Whitespace"}), "Whitespace")
    bad("an unknown normalizer", put("normalizer", to={"type": "Lowercase"}), "Lowercase")
    bad("an unknown post_processor", put("post_processor", to={"type": "RobertaProcessing"}), "RobertaProcessing")
    bad("two tokens before a text", put("post_processor", to=template(["<end>", "<end>"], [])), "one token before")
    bad("a post_processor with an unknown token", put("post_processor", to=template(["<s>"], [])), "<s>", "no token")
    bad("a token that stands alone", put("added_tokens", to=[added(261, "<x>", single_word=True)]), "single_word")
    bad("an added token without text", put("added_tokens", to=[{"id": 261}]), "id")
    bad("a broken tokenizer_config.json", lambda d: None, "tokenizer_config.json: no JSON", config="{")
    bad("BPE that is of neither kind", lambda d: document(bpe({"a": 0}, [])), "pre_tokenizer")
    ok("nothing.json: No such file" in refusal_of(os.path.join(folder, "nothing.json")), "a missing file is refused with the system's reason")
    os.mkdir(os.path.join(folder, "folder.json"))
    ok("no regular file" in refusal_of(os.path.join(folder, "folder.json")), "a folder is refused")


def refusal_of(path):
    try:
        with o.Tokenizer(path):
            return "taken"
    except o.Refused as why:
        return str(why)


random.seed(1)
with tempfile.TemporaryDirectory() as folder:
    published()
    composing()
    tokens()
    templates()
    prefixes()
    refusals()
done()
