#!/usr/bin/python3
"""cache.t -- texts beyond the context: which keys and values stay, against NumPy in float64 that looks at the same tokens at their true
positions; the same bits however a text is split; and what cannot be."""
import json
import os
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
import tap
from llama import gguf, logits
from op_oracle import np

evla = os.path.join(os.path.abspath(os.environ.get("EVLA_BUILD", os.path.join(os.path.dirname(here), "build"))), "evla")
fickle = os.path.join(os.path.dirname(evla), "tests", "plugins", "loop_fickle.so")
tap.need(evla, fickle)
work = tempfile.TemporaryDirectory(prefix="evla-cache-")
at = lambda *name: os.path.join(work.name, *name)


def run(*args):
    return subprocess.run([evla, *args], cwd=work.name, capture_output=True, text=True, timeout=600)


def ask(*questions):
    """answers of tests/llama.lua: a list for each (options, [[what, how], ...])"""
    with open(at("questions.json"), "w") as f:
        json.dump([{"model": tiny, "options": o, "ask": a} for o, a in questions], f)
    r = run("run", os.path.join(here, "llama.lua"), "--trust", "-q", "--plugins", fickle, "--questions", at("questions.json"))
    if r.returncode:
        print("#", r.stderr[-800:])
        return [[{"error": r.stderr}] * len(a) for _, a in questions]
    return json.loads(r.stdout.splitlines()[0])


tiny = at("tiny.gguf")
r = run("new", "weights", "llama-tiny", "--type", "f32", "--seed", "1", "-o", tiny)
tap.ok(r.returncode == 0, "a model with seeded weights", r.stderr)
attrs, w = gguf(tiny)
rng = np.random.default_rng(11)
ids = [int(i) for i in rng.integers(3, 1024, 150)]
of = lambda reply: np.array(reply["answer"], np.float64)
log_softmax = lambda x: x - np.log(np.exp(x - x.max()).sum()) - x.max()


def window(sinks=None, recent=None):
    return {"policy": "window", "params": {k: v for k, v in (("sinks", sinks), ("recent", recent)) if v is not None}}


def looks(n, context, sinks, recent):
    """which tokens each token looks at when a full cache drops all but sinks and recent"""
    seen, rows = np.zeros((n, n), bool), []
    for t in range(n):
        if len(rows) == context:
            rows = rows[:sinks] + rows[len(rows) - recent:]
        rows.append(t)
        seen[t, rows] = True
    return seen


# ---- nothing dropped ----
whole = [["logits", {"ids": ids[:n]}] for n in (1, 20, 63, 64)] + [["complete", {"ids": ids[:40], "tokens": 25, "ignore_end": True}]]
bare = lambda replies: [{k: v for k, v in r["answer"].items() if not k.endswith("_ms")} if isinstance(r.get("answer"), dict) else r for r in replies]
got = ask(*[({"context": 64, **c}, whole) for c in ({}, {"cache": {"policy": "full"}}, {"cache": window()}, {"cache": window(0, 63)})])
tap.ok(all("answer" in r for r in got[0]) and bare(got[0]) == bare(got[1]) == bare(got[2]) == bare(got[3]),
       "as long as the context holds the text, full and window have the bits of no policy", [r.get("error") for g in got for r in g])
tap.ok(got[2][4]["answer"]["dropped_tokens"] == 0 and got[2][4]["answer"]["why"] == "length", "and nothing is dropped", got[2][4])

# ---- against NumPy ----
for context, sinks, recent in ((64, 4, 28), (64, 4, 44), (48, 3, 30), (40, 0, 17), (32, 16, 8), (33, 5, 27)):
    options = {"context": context, "kv": "f32", "cache": window(sinks, recent)}
    lengths = [context, context + 1, context + 30, 150]
    got = ask((options, [["logits", {"ids": ids[:n]}] for n in lengths]))[0]
    if not tap.ok(all("answer" in g for g in got), f"context {context}, {sinks} sinks, {recent} recent: texts go on", [g.get("error") for g in got]):
        continue
    want = logits(attrs, w, ids, seen=looks(150, context, sinks, recent))
    far = max(abs(of(g) - want[n - 1]).max() / want[n - 1].std() for g, n in zip(got, lengths))
    tap.ok(far < 2e-5, "  their logits are NumPy's within 2e-5 of their spread (f32 sums of 512)", far)
    full = logits(attrs, w, ids)
    tap.ok(abs(full[149] - want[149]).max() / want[149].std() > 1e-3, "  which are not those of the whole text")
got = ask(({"context": 64, "kv": "f32", "cache": window()}, [["logits", {"ids": ids}]]))[0]
want = logits(attrs, w, ids, seen=looks(150, 64, 4, 44))[-1]
tap.ok("answer" in got[0] and abs(of(got[0]) - want).max() / want.std() < 2e-5, "preset: 4 sinks, and recent tokens up to three quarters of the context", got[0].get("error"))

# ---- the same bits ----
for kv in ("bf16", "q8_0"):
    options = {"context": 48, "kv": kv, "blocks": 5, "cache": window(4, 20)}
    pieces = [["logits", {"ids": ids[:n]}] for n in (30, 47, 48, 49, 50, 75, 76, 120, 150, 49)]
    got = ask((options, pieces), *[(options, [p]) for p in pieces])
    tap.ok("answer" in got[0][0] and got[0] == [a[0] for a in got[1:]], f"{kv} keys: a text whose beginning is known gives the bits of reading it at once",
           [g.get("error") for g in got[0]])
    a = ask((options, [["complete", {"ids": ids[:30], "tokens": 90, "ignore_end": True}]]))[0][0].get("answer")
    if not tap.ok(a and len(a["tokens"]) == 90 and a["why"] == "length", f"{kv}: 90 tokens come behind 30 in a context of 48", a):
        continue
    each = ask((options, [["logits", {"ids": ids[:30] + a["tokens"][:n]}] for n in range(90)]))[0]
    lp = [log_softmax(of(e)) for e in each]
    tap.ok(all(int(l.argmax()) == t and abs(l[t] - p) < 2e-6 for l, t, p in zip(lp, a["tokens"], a["logprobs"])),
           f"{kv}: tokens chosen one by one are those of reading all anew, with their probabilities")
    tap.ok(a["mallocs"] == 0 and a["dropped_tokens"] == 72, f"{kv}: nothing is allocated, 72 tokens are dropped", (a["mallocs"], a["dropped_tokens"]))

call = {"ids": ids[:30], "tokens": 90, "ignore_end": True}
got = ask(*[({"context": 48, "cache": window(*w)}, [["complete", call], ["complete", {**call, "loop": "fickle"}]]) for w in ((4, 20), (0, 47), (16, 31))])
tap.ok(all("answer" in r[0] and r[0]["answer"]["tokens"] == r[1].get("answer", {}).get("tokens") for r in got),
       "a loop that reads ahead and forgets, as far as there is room, comes to the same text", got)

got = ask(({"context": 48, "cache": window(4, 20)}, [["complete", {"ids": ids[:30], "tokens": 4000, "ignore_end": True, "sampling": {"temperature": 1.0}}],
                                                     ["info"]]))[0]
long = got[0].get("answer", {"text": ""})
tap.ok(len(long["text"].encode()) > 4096 and long["text"] == long["heard"] and long["mallocs"] == 0 and len(long["tokens"]) == 4000,
       "4,000 tokens come in a context of 48, and all is heard", (len(long["text"]), got[0].get("error"), long.get("mallocs")))

# ---- limits ----
got = ask(({"context": 32, "cache": window(4, 16)}, [["complete", {"ids": ids[:30], "tokens": 0, "ignore_end": True}], ["info"], ["save", {"path": at("x.evla"), "ids": ids[:40]}],
                                                     ["save", {"path": at("x.evla"), "ids": ids[:32]}], ["load", {"path": at("x.evla")}], ["complete", {"ids": ids[:60], "tokens": 1}]]))
tap.ok(len(got[0][0]["answer"]["tokens"]) == 32 and got[0][1]["answer"]["free_blocks"] == 2, "without a number, as many tokens come as the context has; blocks are free again", got[0][:2])
tap.ok("40 tokens of which only 28 rows are left cannot be saved" in got[0][2].get("error", ""), "a text with a gap is not saved", got[0][2])
tap.ok(got[0][4].get("answer") == 32 and got[0][5]["answer"]["recalled_tokens"] == 32 and got[0][5]["answer"]["dropped_tokens"] == 36,
       "a whole one is, and a longer text finds its beginning", got[0][3:6])
one = [["logits", {"ids": ids[:4]}]]
for params, words in (((4, 0), "recent: want 1 to 16777216, got 0"), ((-1, 4), "sinks: want 0 to 16777216, got -1"),
                      ((4, 28), "window: 4 sinks and 28 recent tokens of a context of 32: want fewer together than the context"),
                      ((16, 400), "window: 16 sinks and 400 recent tokens of a context of 32"),
                      ((24, None), "window: 24 sinks leave no recent token in three quarters of a context of 32")):
    got = ask(({}, []), ({"context": 32, "cache": window(*params)}, one))[1][0]
    tap.ok(words in got.get("error", "") and len(got["error"].strip().splitlines()) == 1, f"{words}: one sentence", got)
got = ask(({"context": 32, "cache": {"kind": "loop", "policy": "generate"}}, one))[0][0]
tap.ok('cache: want a cache, got the loop "generate"' in got.get("error", ""), "an item of another kind is no cache", got)

# ---- programs ----
stories = os.path.join(os.path.dirname(here), "pipelines", "stories.lua")
call = ["run", stories, "--trust", "--model", tiny, "--prompt", "once", "--context", "48"]
r = run(*call, "--tokens", "200", "--window", "24", "--sinks", "2")
tap.ok(r.returncode == 0 and "dropped from the cache" in r.stdout and "0 allocations" in r.stdout, "stories.lua --window goes on beyond the context and says so", r.stdout + r.stderr)
r = run("check", *call[1:], "--window", "47")
tap.ok(r.returncode == 2 and "stories.lua:" in r.stderr and "4 sinks and 47 recent tokens of a context of 48" in r.stderr, "evla check finds a window that does not fit", r.stderr)

tap.done()
