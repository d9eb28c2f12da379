#!/usr/bin/python3
"""value_json.t -- core/value.c beside Python's json: the same texts are accepted, with the same meaning."""
import json
import os
import random
import re
import subprocess
import sys

N = 6000
program = os.path.join(os.environ.get("EVLA_BUILD", "build"), "tests", "t_value")
if not os.path.exists(program):
    print("1..0 # SKIP t_value is not built")
    sys.exit(0)
rng = random.Random(7)


def leaf():
    return rng.choice([
        lambda: None, lambda: True, lambda: False, lambda: rng.randint(-9, 9),
        lambda: rng.randint(-2**63, 2**63 - 1), lambda: rng.uniform(-1, 1) * 10**rng.randint(-300, 300),
        lambda: "".join(rng.choice("aé€😀\"\\/\t\x01 z") for _ in range(rng.randint(0, 6))),
    ])()


def tree(depth):
    r = rng.random()
    if depth == 0 or r < 0.4:
        return leaf()
    if r < 0.7:
        return [tree(depth - 1) for _ in range(rng.randint(0, 4))]
    return {rng.choice("abcdefgh") + str(i): tree(depth - 1) for i in range(rng.randint(0, 4))}


def damage(text):
    for _ in range(rng.randint(1, 3)):
        i = rng.randrange(len(text) + 1)
        text = rng.choice([
            lambda: text[:i] + text[i + 1:],
            lambda: text[:i] + rng.choice('{}[]",:0123456789.eE+-\\utrfn ') + text[i:],
            lambda: text[:i],
        ])()
    return text


class Refused(Exception):
    pass


def pairs(items):
    if len({k for k, _ in items}) != len(items):
        raise Refused
    return dict(items)


def constant(_):
    raise Refused


def integer(text):
    if len(text) > 62:
        raise Refused  # one limit of ours: 63 characters for a number
    v = int(text)
    return v if -2**63 <= v < 2**63 else float(text)


def real(text):
    if len(text) > 62:
        raise Refused
    return float(text)


def sound(v):
    if isinstance(v, str):
        if "\0" in v:
            raise Refused
        v.encode()  # half a surrogate pair raises
    elif isinstance(v, list):
        for x in v:
            sound(x)
    elif isinstance(v, dict):
        for k, x in v.items():
            sound(k)
            sound(x)


def ours(text):
    return json.loads(text, parse_int=integer, parse_float=real, parse_constant=constant, object_pairs_hook=pairs)


def same(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return a == b


texts = []
for i in range(N):
    t = json.dumps(tree(4), ensure_ascii=rng.random() < 0.5, indent=None)
    texts.append(damage(t) if i % 2 else t)
texts = [t for t in texts if "\n" not in t and "\0" not in t]
out = subprocess.run([program, "--print"], input="\n".join(texts) + "\n", capture_output=True, text=True,
                     check=True).stdout.split("\n")


def digits(v):
    """How many digits the floats of a value take, printed by Python: the fewest that read back."""
    if isinstance(v, float) and abs(v) < 1e308:
        return len("".join(c for c in repr(v).split("e")[0] if c.isdigit()).strip("0"))
    return sum(map(digits, v if isinstance(v, list) else v.values() if isinstance(v, dict) else []))


def printed_digits(text):
    without_texts = re.sub(r'"(?:[^"\\]|\\.)*"', "", text)
    floats = (t for t in re.findall(r"\d+(?:\.\d+(?:e[-+]\d+)?|e[-+]\d+)", without_texts) if t != "1e999")
    return sum(len("".join(c for c in t.split("e")[0] if c.isdigit()).strip("0")) for t in floats)


wrong = {"accepted": [], "refused": [], "meaning": [], "longer": []}
accepted = 0
for text, printed in zip(texts, out):
    try:
        want = ours(text)
        sound(want)
        good = True
    except (ValueError, Refused, RecursionError):
        good = False
    if (printed != "refused") != good:
        wrong["refused" if good else "accepted"].append(text)
    elif good:
        accepted += 1
        if not same(ours(printed), want):
            wrong["meaning"].append(text)
        if printed_digits(printed) > digits(want):
            wrong["longer"].append(text)
claims = [
    (len(out) == len(texts) + 1 and accepted > N // 2, f"{len(texts)} texts were answered, {accepted} accepted by both"),
    (not wrong["accepted"], "what Python refuses is refused"),
    (not wrong["refused"], "what Python accepts is accepted"),
    (not wrong["meaning"], "what is accepted means the same, floats to the last bit"),
    (not wrong["longer"], "with the fewest digits that do so"),
]
for i, (claim, title) in enumerate(claims, 1):
    print("ok" if claim else "not ok", i, "-", title)
for kind, list_ in wrong.items():
    for text in list_[:5]:
        print("#", kind, repr(text[:200]))
print(f"1..{len(claims)}")
sys.exit(not all(c for c, _ in claims))
