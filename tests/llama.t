#!/usr/bin/python3
"""llama.t -- language models from their files: logits against NumPy in float64 layer by layer, a published text token for token,
the same bits however a text is split, and what loops, stop texts, full contexts and broken files come to."""
import json
import os
import re
import struct
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
import tap
from gguf import BOOL, F32, LIST, TEXT, U32, read, write
from llama import gguf, logits
from op_oracle import np

root = os.path.dirname(here)
evla = os.path.join(os.path.abspath(os.environ.get("EVLA_BUILD", os.path.join(root, "build"))), "evla")
tap.need(evla)
data = os.environ.get("EVLA_TEST_DATA", os.path.join(root, "..", "shared", "data"))
stories = os.path.abspath(os.path.join(data, "llm", "stories260K-f32.gguf"))
work = tempfile.TemporaryDirectory(prefix="evla-llama-")
at = lambda *name: os.path.join(work.name, *name)


def run(*args):
    return subprocess.run([evla, *args], cwd=work.name, capture_output=True, text=True, timeout=600)


def ask(*questions, workers=2):
    """answers of tests/llama.lua: a list for each (model, options, [[what, how], ...])"""
    with open(at("questions.json"), "w") as f:
        json.dump([{"model": m, "options": o, "ask": a} for m, o, a in questions], f)
    r = run("run", os.path.join(here, "llama.lua"), "--trust", "-q", "--workers", str(workers), "--questions", at("questions.json"))
    if r.returncode:
        print("#", r.stderr[-800:])
        return None
    return json.loads(r.stdout.splitlines()[0])


def weights(model, kind, seed=1):
    path = at(f"{model}-{kind}.gguf")
    r = run("new", "weights", model, "--type", kind, "--seed", str(seed), "-o", path)
    if r.returncode:
        print("#", r.stderr[-800:])
    return path


rng = np.random.default_rng(7)
ids = [int(i) for i in rng.integers(3, 1024, 75)]
of = lambda reply: np.array(reply["answer"], np.float64)

# ---- against NumPy ----
for model in ("llama-tiny", "qwen2-tiny"):
    path = weights(model, "f32")
    attrs, w = gguf(path)
    asked = [(path, {"kv": "f32", "layers": n}, [["logits", {"ids": ids[:20]}]]) for n in (1, 2, 3)]
    got = ask(*asked)
    for n in (1, 2, 3):
        want = logits(attrs, w, ids[:20], layers=n)[-1]
        far = abs(of(got[n - 1][0]) - want).max() / want.std()
        tap.ok(far < 2e-5, f"{model}: logits after {n} of 3 layers are NumPy's within 2e-5 of their spread (f32 sums of 512)", far)

tiny = at("llama-tiny-f32.gguf")
attrs, w = gguf(tiny)
all_logits = logits(attrs, w, ids)
log_softmax = lambda x: x - np.log(np.exp(x - x.max()).sum()) - x.max()

# ---- a folder as Hugging Face keeps them ----
HF = {"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
      "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
      "ffn_down": "mlp.down_proj"}


def folder_of(path, name, more):
    """config.json, tokenizer.json and model.safetensors with a GGUF file's weights, rows of queries and keys sorted back"""
    a, t = gguf(path)
    arch = a["general.architecture"]
    get = lambda key: a[arch + "." + key]
    tensors = {}
    for key, v in t.items():
        m = re.match(r"blk\.(\d+)\.(\w+)\.(weight|bias)$", key)
        if m and m[2] in ("attn_q", "attn_k") and arch == "llama":
            heads = get("attention.head_count" if m[2] == "attn_q" else "attention.head_count_kv")
            v = v.reshape(heads, -1, 2, v.shape[1]).swapaxes(1, 2).reshape(v.shape)
        new = (f"model.layers.{m[1]}.{HF[m[2]]}.{m[3]}" if m else
               {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight", "output.weight": "lm_head.weight"}[key])
        tensors[new] = np.ascontiguousarray(v)
    header, end = {}, 0
    for key, v in tensors.items():
        header[key] = {"dtype": "F32", "shape": list(v.shape), "data_offsets": [end, end + v.nbytes]}
        end += v.nbytes
    os.makedirs(at(name))
    text = json.dumps(header).encode()
    with open(at(name, "model.safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(v.tobytes() for v in tensors.values()))
    config = {"hidden_size": get("embedding_length"), "intermediate_size": get("feed_forward_length"), "num_hidden_layers": get("block_count"),
              "num_attention_heads": get("attention.head_count"), "num_key_value_heads": get("attention.head_count_kv"),
              "rms_norm_eps": get("attention.layer_norm_rms_epsilon"), "rope_theta": get("rope.freq_base"),
              "vocab_size": get("vocab_size"), "max_position_embeddings": get("context_length"), **more}
    json.dump(config, open(at(name, "config.json"), "w"))
    tokens = a["tokenizer.ggml.tokens"]
    bpe = a.get("tokenizer.ggml.merges")
    model = {"type": "BPE", "vocab": {t: i for i, t in enumerate(tokens)}, "merges": bpe or []}
    qwen = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    split = {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": qwen}, "behavior": "Isolated", "invert": False},
                                                   {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}]}
    json.dump({"version": "1.0", "added_tokens": [{"id": i, "content": tokens[i], "special": True} for i in range(3)] if bpe else [],
               "normalizer": {"type": "NFC"}, "pre_tokenizer": split, "decoder": {"type": "ByteLevel"}, "post_processor": None, "model": model},
              open(at(name, "tokenizer.json"), "w"))


folder_of(at("qwen2-tiny-f32.gguf"), "qwen", {"architectures": ["Qwen2ForCausalLM"], "tie_word_embeddings": True})
same = [["logits", {"ids": ids}], ["encode", {"text": "the cat and a hat, 42"}]]
got = ask((at("qwen2-tiny-f32.gguf"), {"kv": "f32"}, same), (at("qwen"), {"kv": "f32"}, same))
tap.ok(got and "answer" in got[1][0] and got[0] == got[1],
       "a Hugging Face folder gives the bits and tokens that the same weights give as GGUF", got and (got[0][1], got[1][0].get("error"), got[1][1]))

# ---- the published text ----
if os.path.exists(stories):
    text = ("Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball. "
            "She wanted to play with it, but it was too high.")
    r = run("run", os.path.join(root, "pipelines", "stories.lua"), "--model", stories, "--prompt", "Once upon a time", "--tokens", "59")
    tap.ok(r.returncode == 0 and r.stdout.startswith(text), "stories260K continues as in three other engines", r.stdout + r.stderr)
    tap.ok(re.search(r"0 allocations", r.stdout) and re.search(r"prompt .* tokens/s", r.stdout) and re.search(r"MB keys and values", r.stdout),
           "and the run says what it took: phases, rates, bytes", r.stdout)
    a, t = gguf(stories)
    got = ask((stories, {"kv": "f32"}, [["encode", {"text": "Once upon a time"}], ["logits", {"ids": ids[:40]}]]))
    tap.ok(got[0][0]["answer"] == [1, 403, 407, 261, 378], "its prompt has the published tokens", got[0][0])
    lines = f't = evla.tokenizer({json.dumps(stories)})\nprint(#t, table.concat(t:encode("Once upon a time", {{ whole = true }}), " "), t:decode {{ 403, 407 }})\n'
    told = subprocess.run([evla, "repl", "--trust"], input=lines, capture_output=True, text=True)
    tap.ok("512\t1 403 407 261 378\tOnce upon" in told.stdout, "so has its tokenizer alone", told.stdout + told.stderr)
    ok_ids = [i % 512 for i in ids[:40]]
    got, want = of(ask((stories, {"kv": "f32"}, [["logits", {"ids": ok_ids}]]))[0][0]), logits(a, t, ok_ids)[-1]
    tap.ok(abs(got - want).max() / want.std() < 1e-4, "its logits are NumPy's", abs(got - want).max() / want.std())
else:
    for title in ("stories260K continues as in three other engines", "the run says what it took", "its prompt", "its logits"):
        tap.skip(title, "no test data: " + stories)

# ---- the same bits ----
for kind, kv in (("f32", "bf16"), ("q8_0", "f32"), ("q4_k", "q8_0"), ("bf16", "bf16")):
    path = weights("llama-tiny", kind) if kind != "f32" else tiny
    whole = [["logits", {"ids": ids}]]
    pieces = [["logits", {"ids": ids[:n]}] for n in (1, 2, 9, 17, 18, 40, 41, 74, 75)]
    alone = [(path, {"kv": kv}, [p]) for p in pieces]
    got = ask((path, {"kv": kv}, pieces), *alone)
    tap.ok(got and got[0] == [a[0] for a in got[1:]], f"{kind} with {kv} keys: a text read in pieces, its beginning known, gives the bits of reading it at once")
    one = ask((path, {"kv": kv}, whole), workers=1)
    tap.ok(one and one[0][0] == got[0][-1], f"{kind}: so does one thread")
    answers = ask((path, {"kv": kv}, [["complete", {"ids": ids[:30], "tokens": 12, "ignore_end": True}]]))[0][0]["answer"]
    each = ask(*[(path, {"kv": kv}, [["logits", {"ids": ids[:30] + answers["tokens"][:n]}]]) for n in range(12)])
    lp = [log_softmax(of(e[0])) for e in each]
    tap.ok(all(int(l.argmax()) == t and abs(l[t] - p) < 2e-6 for l, t, p in zip(lp, answers["tokens"], answers["logprobs"])) and answers["mallocs"] == 0,
           f"{kind}: tokens chosen one by one are those of reading all anew, with their probabilities; nothing is allocated")

# ---- loops ----
complete = lambda **how: ["complete", {"ids": ids[:10], "tokens": 16, "ignore_end": True, **how}]
got = ask((tiny, {}, [complete(), complete(sampling={"temperature": 1.0, "top_k": 1}), complete(sampling={"temperature": 1.0, "top_p": 1e-6}),
                      complete(sampling={"temperature": 1.0, "min_p": 1.0}), complete(sampling={"temperature": 1.0, "seed": 5}),
                      complete(sampling={"temperature": 1.0, "seed": 5}), complete(sampling={"temperature": 1.0, "seed": 6}),
                      complete(sampling={"repetition_penalty": 50.0}), complete(tokens=40)]))[0]
tokens = [g["answer"]["tokens"] for g in got]
tap.ok(tokens[0] == tokens[1] == tokens[2] == tokens[3], "top_k 1, a tiny top_p and min_p 1 are greedy")
tap.ok(tokens[4] == tokens[5] != tokens[6], "a seed gives the same lot again, another one another")
tap.ok(len(set(tokens[7] + ids[:10])) == len(tokens[7]) + len(set(ids[:10])), "a strong penalty repeats nothing", tokens[7])
tap.ok(tokens[8][:16] == tokens[0] and len(tokens[8]) == 40, "more tokens begin as fewer do")
n = 1000
got = ask((tiny, {"kv": "f32"}, [complete(tokens=1, sampling={"temperature": 0.25, "top_k": 4, "seed": s}) for s in range(n)]))[0]
p = np.exp(log_softmax(all_logits[9] / 0.25))
best = np.argsort(-p)[:4]
want = p[best] / p[best].sum() * n
found = np.array([sum(g["answer"]["tokens"] == [int(b)] for g in got) for b in best])
chi2 = ((found - want) ** 2 / want).sum()
tap.ok(found.sum() == n and chi2 < 16.27, "1,000 lots among the top 4 follow the softmax (chi-squared, 3 degrees, 0.1 %)", (chi2, found, want))
lp = got[0]["answer"]["logprobs"][0]
tap.ok(abs(lp - log_softmax(all_logits[9])[got[0]["answer"]["tokens"][0]]) < 1e-4, "a logprob is the model's own, before temperature", lp)

plain = ask((tiny, {}, [complete(tokens=24)]))[0][0]["answer"]
chosen = plain["chosen_ms"]
tap.ok(len(chosen) == 24 and chosen == sorted(chosen) and chosen[0] == plain["first_ms"] and chosen[-1] <= plain["prompt_ms"] + plain["tokens_ms"],
       "each token says when it was chosen", (chosen, plain["prompt_ms"], plain["tokens_ms"]))
middle = plain["text"][len(plain["text"]) // 2:][:4]
cut = plain["text"].index(middle)
got = ask((tiny, {}, [complete(tokens=24, stop=[middle]), complete(tokens=24, stop=[middle + "\u2603", "zzz"]), complete(tokens=24, enough=2), complete(broken=True), complete(tokens=24)]))[0]
tap.ok(got[0]["answer"]["text"] == plain["text"][:cut] == got[0]["answer"]["heard"] and got[0]["answer"]["why"] == "stop",
       "a stop text ends the text and is not heard, though it came in pieces", (middle, got[0]))
tap.ok(got[1]["answer"]["text"] == plain["text"] == got[1]["answer"]["heard"] and got[1]["answer"]["why"] == "length", "what only begins like one is heard after all")
tap.ok(got[2]["answer"]["why"] == "hearer" and plain["text"].startswith(got[2]["answer"]["heard"]), "a hearer may end it")
tap.ok("the hearer broke" in got[3].get("error", "") and got[4]["answer"]["tokens"] == plain["tokens"], "a hearer's mistake is its own; the model goes on as before", got[3])

got = ask((tiny, {}, [complete(meddles=how) for how in ("encode", "info", "close")] + [complete(), complete(tokens=1 << 25)]))[0]
tap.ok(all("text: it is completing one" in g.get("error", "") for g in got[:3]) and got[3].get("answer", {}).get("tokens") == tokens[0],
       "who hears a text may not use its model meanwhile, nor close it", got)
tap.ok("tokens: want 0 to 16777216" in got[4].get("error", ""), "too many tokens are refused", got[4])

# ---- limits ----
got = ask((tiny, {"context": 32}, [["logits", {"ids": ids[:40]}], ["complete", {"ids": ids[:30], "tokens": 0, "ignore_end": True}], ["logits", {"ids": ids[:8]}]]),
          (tiny, {"context": 64, "blocks": 2}, [["logits", {"ids": ids[:40]}], ["logits", {"ids": ids[:32]}], ["info"]]),
          (tiny, {"memory": 1000}, [["logits", {"ids": ids[:4]}]]),
          (tiny, {}, [["logits", {"ids": [1, 5000]}], ["logits", {"ids": []}]]),
          (tiny, {"context": 1}, [["perplexity", {"path": os.path.abspath(__file__)}]]))
tap.ok("has 40 tokens, the context only 32" in got[0][0].get("error", ""), "a text beyond the context is refused", got[0][0])
tap.ok(got[0][1]["answer"]["why"] == "length" and len(got[0][1]["answer"]["tokens"]) == 3 and "answer" in got[0][2], "tokens end where the context does, and the model goes on", got[0][1])
tap.ok("need 1 more of the 2 blocks of keys and values, of which 0 are free" in got[1][0].get("error", "") and "answer" in got[1][1] and got[1][2]["answer"]["free_blocks"] == 2,
       "an exhausted pool is a sentence, and the model goes on", got[1][0])
tap.ok("the budget is 1000" in got[2][0].get("error", ""), "a budget that is missed is refused by number", got[2][0])
tap.ok("token 1 is 5000; want 0 to 1023" in got[3][0].get("error", "") and "has no token" in got[3][1].get("error", ""), "tokens outside the vocabulary, and no tokens, are refused", got[3])
tap.ok("a context of 1 token says nothing of the next one" in got[4][0].get("error", ""), "perplexity wants a context of two", got[4][0])

# ---- to a file and back ----
got = ask((tiny, {}, [["save", {"path": at("kept.evla"), "ids": ids[:50]}], ["logits", {"ids": ids[:60]}]]),
          (tiny, {}, [["load", {"path": at("kept.evla")}], ["complete", {"ids": ids[:60], "tokens": 1}], ["logits", {"ids": ids[:60]}]]),
          (tiny, {"kv": "f32"}, [["load", {"path": at("kept.evla")}]]), (tiny, {"context": 16}, [["load", {"path": at("kept.evla")}]]))
tap.ok(got[1][0]["answer"] == 50 and got[1][1]["answer"]["recalled_tokens"] == 48 and got[1][2] == got[0][1], "keys and values come back from a file, bit for bit", got[1][:2])
tap.ok("k.0: want f32[4,16,64], found bf16[4,16,64]" in got[2][0].get("error", "") and "more than a context of 16" in got[3][0].get("error", ""),
       "not those of another model or of a longer context", (got[2], got[3]))

# ---- a conversation ----
turns = ["hello there", "and again"]
got = ask((at("qwen2-tiny-f32.gguf"), {}, [["chat", {"turns": turns, "system": "be brief"}], ["encode", {"text": "x"}]]), (tiny, {}, [["chat", {"turns": turns}]]))
first, second = got[0][0]["answer"]
heads = "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\nhello there<|im_end|>\n<|im_start|>assistant\n"
n_special = ask((at("qwen2-tiny-f32.gguf"), {}, [["complete", {"prompt": heads, "tokens": 8, "special": True}]]))[0][0]["answer"]
blank = ask((tiny, {}, [["complete", {"ids": ids[:10], "tokens": 30, "ignore_end": True}]]))[0][0]["answer"]
piece = attrs["tokenizer.ggml.tokens"][blank["tokens"][0]]
tap.ok(blank["text"].startswith(piece.replace("\u2581", " ")) or piece.startswith("<0x"), "a continued text keeps the blank that its first piece begins with", (piece, blank["text"][:10]))
tap.ok(first["tokens"] == n_special["tokens"] and first["prompt_tokens"] == n_special["prompt_tokens"], "a chat is the text in the model's own form", (first, n_special))
tap.ok(second["recalled_tokens"] >= 16 and second["prompt_tokens"] > first["prompt_tokens"], "a second turn does not read the first again", second)
tap.ok("error" in got[1][0] and "chat" in got[1][0]["error"], "a model without a form of its own says so", got[1][0])

# ---- packed ----
q8 = at("llama-tiny-q8_0.gguf")
r = run("pack", q8, "-o", at("packed.evla"))
tap.ok(r.returncode == 0 and os.path.getsize(at("packed.evla")) < os.path.getsize(q8) * 1.05, "evla pack writes one file, about as large", r.stderr)
same = [["logits", {"ids": ids}], ["encode", {"text": "the cat and a hat, 42"}]]
got = ask((q8, {}, same), (at("packed.evla"), {}, same), (at("packed.evla"), {"kv": "f32"}, same))
tap.ok(got and "answer" in got[0][0] and got[0] == got[1], "whose logits and tokens are those of the model, bit for bit", got and got[1][0].get("error"))
tap.ok('is packed; "kv" cannot be chosen any more' in got[2][0].get("error", ""), "what was decided cannot be chosen again", got[2])
own = os.environ.pop("EVLA_MACHINE", None)
if "portable" not in run("doctor").stdout.split("machine", 1)[-1][:60]:
    os.environ["EVLA_MACHINE"] = "portable"
    got = ask((at("packed.evla"), {}, same))
    del os.environ["EVLA_MACHINE"]
    tap.ok("which not every kernel that reads it here can; pack the model on this machine" in got[0][0].get("error", ""), "another machine says so", got[0][0])
else:
    tap.skip("another machine says so", "this machine has no kernels with a layout of their own")
if own:
    os.environ["EVLA_MACHINE"] = own
r = [run("pack", *x) for x in ((at("qwen"), "-o", at("x.gguf")), (q8, "-o", at("x.bin")), (q8, "--speed", "9"), (q8, "--type", "q3_k"),
                               (q8, "-o", at("x.gguf"), "--kv", "f32"), (at("packed.evla"), "--type", "q4_0"))]
tap.ok([x.returncode for x in r] == [2] * 6 and all(says in x.stderr for x, says in zip(r, (
    "is a folder", "ends in .evla or .gguf", "no --speed", "want one of bf16, f16, f32, q4_0,", "how keys and values are kept", "is packed already"))),
       "what cannot be packed is said in a sentence", [x.stderr for x in r])

# ---- what a folder's config.json may not say ----
config = json.load(open(at("qwen", "config.json")))
asked, want = [], []
for key, value, says in (("num_attention_heads", 0, "num_attention_heads is 0; want a whole number from 1 to 16777216"),
                         ("hidden_size", "64", "hidden_size is 64; want a whole number"), ("num_hidden_layers", 1.5, "num_hidden_layers is 1.5; want"),
                         ("intermediate_size", [1, 2], "intermediate_size is a list; want"), ("vocab_size", 1 << 40, "vocab_size is 1099511627776; want"),
                         ("rms_norm_eps", -1.0, "rms_norm_eps is -1.0; want a number above 0"), ("max_position_embeddings", "many", "max_position_embeddings is many; want")):
    os.makedirs(at(key))
    json.dump({**config, key: value}, open(at(key, "config.json"), "w"))
    asked.append((at(key), {}, same))
    want.append(says)
got = ask(*asked, (work.name, {}, same), (q8, {}, []))
tap.ok(got and all(says in x[0].get("error", "") for says, x in zip(want + ["want a file to read, found a folder"], got)), "sizes that are none are refused by name", got)
got = ask((at("qwen"), {}, [["complete", {"prompt": "a", "stop": "x"}], ["complete", {"prompt": "a", "sampling": {}, "typo": True}]]))
tap.ok(got and "stop: want a list of texts, got string" in got[0][0].get("error", "") and 'there is no "tokns"; did you mean "tokens"?' in got[0][1].get("error", ""),
       "and so is a wish that nobody would hear", got)

# ---- a folder packed, its tokenizer within ----
r = run("pack", at("qwen"), "-o", at("folder.evla"), "--kv", "f32")
os.rename(at("qwen"), at("away"))
got = ask((at("away"), {"kv": "f32"}, same + [["info", {}]]), (at("folder.evla"), {}, same + [["info", {}]]))
os.rename(at("away"), at("qwen"))
tap.ok(r.returncode == 0 and got and "answer" in got[0][2] and got[0] == got[1], "a packed folder gives its bits, its tokens and its context without it", (r.stderr, got and got[1]))

# ---- weights rounded on the way ----
for model, kinds in (("llama-tiny", ("q4_0", "q4_k", "bf16")), ("qwen2-tiny", ("q8_0", "q5_1", "q6_k"))):
    for kind in kinds:
        r = run("pack", at(f"{model}-f32.gguf"), "--type", kind, "-o", at("round.gguf"))
        with open(weights(model, kind), "rb") as f, open(at("round.gguf"), "rb") as g:
            tap.ok(r.returncode == 0 and f.read() == g.read(), f"{model} as {kind} is the file that has been {kind} from the start", r.stderr)
r = run("pack", at("llama-tiny-f32.gguf"), "--type", "q4_0", "-o", at("round.evla")), run("pack", at("qwen"), "--type", "q8_0", "-o", at("hf.evla"))
got = ask((at("llama-tiny-q4_0.gguf"), {}, same), (at("round.evla"), {}, same), (at("llama-tiny-f32.gguf"), {"type": "q4_0"}, same),
          (at("qwen2-tiny-q8_0.gguf"), {}, same), (at("hf.evla"), {}, same), (at("qwen"), {"type": "q8_0"}, same))
tap.ok(got and "answer" in got[0][0] and got[0] == got[1] == got[2] and got[3] == got[4] == got[5] and got[3] != got[0],
       "packed, or rounded while it is read, from a file or a folder, it gives the same bits", [x.stderr for x in r] + [x and x[0].get("error") for x in got or []])
tensors, keys = read(at("qwen2-tiny-f32.gguf"))
odd = {name: np.frombuffer(raw, "<f4").reshape(shape)[tuple(slice(0, {256: 96, 512: 144, 64: 32}.get(n, n)) for n in shape)] for name, (_, shape, raw) in tensors.items()
       if not re.match("blk.[12]", name)}
sized = {"block_count": 1, "embedding_length": 96, "feed_forward_length": 144, "attention.head_count": 3, "attention.head_count_kv": 1}
kinds = lambda v: (TEXT, v) if isinstance(v, bytes) else (LIST, kinds_of(v)) if isinstance(v, list) else (F32, v) if isinstance(v, float) else (BOOL, v) if isinstance(v, bool) else (U32, v)
kinds_of = lambda v: (TEXT if isinstance(v[0], bytes) else U32, v)
write(at("odd.gguf"), {name: ("f32", list(v.shape), np.ascontiguousarray(v).tobytes()) for name, v in odd.items()},
      [(k, *kinds(sized.get(k[6:], v))) for k, v in keys.items()])
r = run("pack", at("odd.gguf"), "--type", "q4_k", "-o", at("odd-q4_k.gguf"))
tensors = read(at("odd-q4_k.gguf"))[0] if not r.returncode else {}
tap.ok({n: tensors.get(n, [None])[0] for n in ("blk.0.attn_q.weight", "blk.0.ffn_down.weight", "token_embd.weight", "blk.0.attn_norm.weight")} ==
       {"blk.0.attn_q.weight": "q5_0", "blk.0.ffn_down.weight": "f16", "token_embd.weight": "q8_0", "blk.0.attn_norm.weight": "f32"},
       "rows that are no whole blocks get a wider format", (r.stderr, {n: t[0] for n, t in tensors.items()}))
tap.ok("6 as q5_0, since blk.0.attn_" in r.stdout and "has rows of 96, no multiple of 256" in r.stdout and "1 as f16, since blk.0.ffn_down.weight has rows of 144, no multiple of 32" in r.stdout,
       "and the command says which, and why", r.stdout)
got = ask((at("odd-q4_k.gguf"), {}, [["logits", {"ids": ids[:20]}]]), (at("odd.gguf"), {"kv": "f32"}, [["logits", {"ids": ids[:20]}]]))
far = abs(of(got[0][0]) - of(got[1][0])).max() / of(got[1][0]).std() if got and "answer" in got[0][0] and "answer" in got[1][0] else None
tap.ok(far is not None and 1e-4 < far < 0.5, "with logits near those of f32 (roundings of 1/32)", (far, got and [x[0].get("error") for x in got]))

r = run("pack", at("odd.gguf"), "--type", "q4_0", "-o", at("odd.evla"))
asked = [["logits", {"ids": ids[:20]}]]
got = ask((at("odd.evla"), {}, asked), (at("odd.gguf"), {"type": "q4_0"}, asked), (at("odd.gguf"), {"kv": "f32"}, asked))
far = abs(of(got[0][0]) - of(got[2][0])).max() / of(got[2][0]).std() if got and all("answer" in x[0] for x in got) else None
tap.ok(r.stdout.startswith("matrices: 7 as q4_0; 1 as q8_0, since token_embd.weight has rows of 96, no multiple of 256"), "elsewhere a row ends inside a block", r.stdout + r.stderr)
tap.ok(far is not None and got[0] == got[1] and 1e-4 < far < 0.7, "packed or in memory the same, with logits near those of f32 (roundings of 1/16)", (far, got and [x[0].get("error") for x in got]))

# ---- what others that need it see ----
def key():
    jobs = json.loads(run("check", os.path.join(root, "pipelines", "stories.lua"), "--model", at("packed.evla"), "--json").stdout)["jobs"]
    return next(j["key"] for j in jobs if j["type"] == "checkpoint")


first = key(), key()
os.utime(at("packed.evla"), (1, 1))
tap.ok(first[0] == first[1] != key(), "another file of the same name gives its job another key, without being read", first)

# ---- how surprised it is ----
with open(at("some.txt"), "w") as f:
    f.write("the cat sat on a mat and then it was not there any more. " * 4)
got = ask((tiny, {"kv": "f32"}, [["encode", {"text": open(at("some.txt")).read()}], ["perplexity", {"path": at("some.txt")}]]))[0]
t = got[0]["answer"]
rows = logits(attrs, w, t)
want = np.exp(-np.mean([log_softmax(rows[i])[t[i + 1]] for i in range(len(t) - 1)]))
tap.ok(abs(got[1]["answer"][0] / want - 1) < 1e-5 and got[1]["answer"][1] == len(t) - 1, "perplexity is NumPy's", (got[1], want))

# ---- broken files ----
raw = bytearray(open(tiny, "rb").read())


def broken(name, change):
    copy = bytearray(raw)
    change(copy)
    with open(at(name), "wb") as f:
        f.write(copy)
    return at(name)


def poke(old, new):
    def change(copy):
        k = copy.index(old)
        copy[k:k + len(new)] = new
    return change


def poison(copy):
    values = w["blk.1.ffn_up.weight"][:1, :8].tobytes()
    k = copy.index(values)
    copy[k:k + 4] = struct.pack("<f", float("nan"))


nan = broken("nan.gguf", poison)
lost = broken("lost.gguf", poke(b"blk.1.ffn_up.weight", b"blk.1.ffn_uq.weight"))
other = broken("other.gguf", poke(b"general.architecture\x08\0\0\0\x05\0\0\0\0\0\0\0llama", b"general.architecture\x08\0\0\0\x05\0\0\0\0\0\0\0mamba"))
short = broken("short.gguf", lambda copy: copy.__delitem__(slice(len(copy) // 2, None)))
one = [["complete", {"ids": ids[:4], "tokens": 2}], ["complete", {"ids": ids[:4], "tokens": 2}]]
got = ask((nan, {}, one), (lost, {}, one), (other, {}, one), (short, {}, one), (at("absent.gguf"), {}, one), (os.path.join(here, "llama.t"), {}, one),
          (tiny, {"layers": 7}, one), (tiny, {"heads": 4}, one), (tiny, {"kv": "f33"}, one), (tiny, {"wdith": 7}, one))
says = ["logits are not all numbers", "holds no weight blk.1.ffn_up.weight (1 of 30), but has blk.1.ffn_uq.weight, which no weight is called (1 of 30); is its blk.1.ffn_uq.weight meant?", "its architecture is mamba; want one of llama, qwen2",
        "short.gguf", "absent.gguf", "is of no format that is loaded", "holds no weight blk.3.attn_norm.weight", "", "f33", "width"]
for words, g, title in zip(says, got, ("NaN weights", "a missing tensor, with the nearest name", "another architecture", "a cut file", "no file", "a file of no format",
                                       "more layers than it has", "other heads than it has", "an unknown format of keys", "an unknown option, with the nearest name")):
    tap.ok("error" in g[0] and words in g[0]["error"] and len(g[0]["error"].splitlines()) == 1, f"{title}: one sentence", g[0])
r = run("run", os.path.join(root, "pipelines", "stories.lua"), "--model", lost)
tap.ok(r.returncode in (2, 3) and "stories.lua:" in r.stderr, "and the program's line in front", (r.returncode, r.stderr))

print(f"1..{tap.count}")
sys.exit(tap.failed > 0)
