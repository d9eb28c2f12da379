#!/usr/bin/python3
"""llama_rows.t -- texts with rows of embeddings in them: the same bits as tokens with those embeddings, NumPy's logits for rows that
no token has, what is known again and what never is, tokens that see each other both ways, and what is refused."""
import json
import os
import struct
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
import tap
from llama import gguf, logits
from op_oracle import np

root = os.path.dirname(here)
evla = os.path.join(os.path.abspath(os.environ.get("EVLA_BUILD", os.path.join(root, "build"))), "evla")
tap.need(evla)
work = tempfile.TemporaryDirectory(prefix="evla-rows-")
at = lambda *name: os.path.join(work.name, *name)
run = lambda *args: subprocess.run([evla, *args], cwd=work.name, capture_output=True, text=True, timeout=600)


def ask(*questions, workers=2):
    """answers of tests/llama.lua: a list for each (model, options, [[what, how], ...])"""
    with open(at("questions.json"), "w") as f:
        json.dump([{"model": m, "options": o, "ask": a} for m, o, a in questions], f)
    r = run("run", os.path.join(here, "llama.lua"), "--trust", "-q", "--workers", str(workers), "--questions", at("questions.json"))
    assert r.returncode == 0, r.stderr[-800:]
    return json.loads(r.stdout.splitlines()[0])


def save(name, rows):
    """rows as a safetensors file"""
    rows = np.ascontiguousarray(rows, np.float32)
    head = json.dumps({"rows": {"dtype": "F32", "shape": list(rows.shape), "data_offsets": [0, rows.nbytes]}}).encode()
    with open(at(name), "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head + rows.tobytes())
    return at(name)


tiny = at("tiny.gguf")
assert run("new", "weights", "llama-tiny", "--type", "f32", "-o", tiny).returncode == 0
attrs, w = gguf(tiny)
table = w["token_embd.weight"]
rng = np.random.default_rng(5)
text = [int(i) for i in rng.integers(3, 1024, 90)]
of = lambda reply: np.array(reply["answer"], np.float64) if "answer" in reply else reply
sees = {"kv": "f32", "rows": True, "context": 256}
hidden = text[:5] + [-1] * 40 + text[45:]
own = save("own.safetensors", table[text[5:45]])
other = rng.standard_normal((40, table.shape[1])).astype(np.float32) * table.std()
strange = save("strange.safetensors", other)
one_bit = other.copy()
one_bit.view(np.uint32)[39, -1] ^= 1
nearly = save("nearly.safetensors", one_bit)

# ---- the same bits as tokens ----
plain, seen, few, alone = ask((tiny, {"kv": "f32", "context": 256}, [["logits", {"ids": text}]]),
                              (tiny, sees, [["logits", {"ids": text}], ["logits", {"ids": hidden, "rows": own}]]),
                              (tiny, {**sees, "context": 90}, [["logits", {"ids": hidden, "rows": own}]]),
                              (tiny, {"kv": "f32", "context": 256}, [["info", {}]]))
tap.ok(seen[0] == plain[0], "a model that can read rows reads tokens as one that cannot", seen[0])
tap.ok(seen[1] == plain[0], "embeddings in place of 40 tokens give the bits that those tokens give")
tap.ok(few[0] == plain[0], "so they do with other lengths of runs")
got, want = of(ask((tiny, sees, [["logits", {"ids": hidden, "rows": strange}]]))[0][0]), logits(attrs, w, hidden, rows=other)[-1]
far = abs(got - want).max() / want.std()
tap.ok(far < 2e-5, "rows that no token has give NumPy's logits within 2e-5 of their spread", far)

# ---- what is known again ----
again, fresh = ask((tiny, sees, [["complete", {"ids": hidden, "rows": f, "tokens": 4, "ignore_end": True}] for f in (strange, strange, nearly, own)] +
                    [["complete", {"ids": text, "tokens": 4, "ignore_end": True}]]),
                   (tiny, sees, [["complete", {"ids": hidden, "rows": nearly, "tokens": 4, "ignore_end": True}]]))
answers = [a["answer"] for a in again]
known = [a["recalled_tokens"] for a in answers]
tap.ok(known == [0, 80, 32, 0, 0], "a text is known again with its rows, up to the one bit in which they differ, and not without them", known)
same = lambda a, b: a["tokens"] == b["tokens"] and a["logprobs"] == b["logprobs"]
tap.ok(same(answers[0], answers[1]) and same(answers[2], fresh[0]["answer"]), "and what is known gives the same bits as what is read")
tap.ok(same(answers[3], answers[4]), "rows with a loop choose what tokens choose")

# ---- both ways ----
mask = np.tril(np.ones((90, 90), bool))
mask[:60, :60] = True
asked = {"ids": hidden, "rows": strange, "both": 60}
both, split = ask((tiny, sees, [["logits", asked], ["complete", {**asked, "tokens": 2}], ["complete", {**asked, "ids": hidden + [7], "tokens": 2}],
                                ["logits", {**asked, "both": 59}], ["complete", {**asked, "both": 59, "tokens": 0}],
                                ["complete", {"ids": hidden, "rows": strange, "tokens": 0}]]),
                  (tiny, {**sees, "context": 90}, [["logits", asked]]))
want = logits(attrs, w, hidden, rows=other, seen=mask)[-1]
far = abs(of(both[0]) - want).max() / want.std()
tap.ok(far < 2e-5, "60 tokens that see each other both ways give NumPy's logits", far)
tap.ok(split[0] == both[0], "the same bits in other runs")
known = [both[i]["answer"]["recalled_tokens"] for i in (1, 2, 4, 5)]
tap.ok(known == [80, 80, 80, 0], "they are known again as they were, and not by those who see one way", known)
mask[59, :], mask[:59, 59] = np.arange(90) <= 59, False
want = logits(attrs, w, hidden, rows=other, seen=mask)[-1]
tap.ok(abs(of(both[3]) - want).max() / want.std() < 2e-5, "one token less in that circle is another text")

# ---- refusals ----
loop = {"tokens": 1, "sampling": {"lowest": 700, "highest": 702}, "ignore_end": True}
replies = ask((tiny, sees, [["logits", {"ids": hidden[:-50], "rows": own}], ["logits", {"ids": hidden}], ["logits", {**asked, "both": 200}],
                            ["logits", {"ids": hidden, "rows": save("narrow.safetensors", other[:, :8])}],
                            ["complete", {"ids": text, "tokens": 6, "sampling": {"lowest": 700, "highest": 702}, "ignore_end": True}],
                            ["complete", {"ids": text, "tokens": 6, "sampling": {"lowest": 700, "highest": 702, "temperature": 5}, "ignore_end": True}],
                            ["complete", {"ids": text, "tokens": 1, "sampling": {"lowest": 1024}}], ["logits", {"ids": text}]]),
              (tiny, {"kv": "f32", "context": 256}, [["logits", {"ids": hidden, "rows": own}]]),
              (tiny, {"kv": "f32", "rows": True, "context": 700}, [["logits", {"ids": text * 7, "both": 600}]]))
says = lambda reply, what: tap.ok(what in reply.get("error", ""), "refused: " + what, reply)
says(replies[0][0], "the text has 35 places for rows of embeddings, but 40 rows come with it")
says(replies[0][1], "token 5 is -1; want 0 to 1023")
says(replies[0][2], "200 of 90 tokens that see each other")
says(replies[0][3], "the text shows rows of 8 embeddings, the model reads 256")
says(replies[0][6], "lowest to highest leave no token")
says(replies[1][0], "the text shows rows of 256 embeddings, the model reads tokens only")
says(replies[2][0], "600 tokens see each other both ways, so they are read at once; here come 630, and the model takes 512 at a time")
chosen = [set(replies[0][i]["answer"]["tokens"]) for i in (4, 5)]
tap.ok(all(c <= {700, 701, 702} for c in chosen) and len(chosen[1]) > 1, "lowest and highest bound what is chosen, greedy or by lot", chosen)
ref = of(plain[0])
told = replies[0][4]["answer"]
tap.ok(told["tokens"][0] == 700 + ref[700:703].argmax() and
       abs(told["logprobs"][0] - (ref[told["tokens"][0]] - np.log(np.exp(ref - ref.max()).sum()) - ref.max())) < 1e-3,
       "the likeliest of them, told with the model's own probability", told)
tap.ok(replies[0][7] == plain[0], "after refusals the model is as good as before")
tap.done()
