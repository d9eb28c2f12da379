#!/usr/bin/python3
"""unicode_table.py -- writes unicode_table.h from the Unicode data that Python brings.

python3 plugins/tokenizer/unicode_table.py >plugins/tokenizer/unicode_table.h
"""
import unicodedata

LAST = 0x110000
OTHER, LETTER, NUMBER, PUNCTUATION, SPACE, MARK, CONTROL = range(7)


def kind(code):
    c = unicodedata.category(chr(code))
    if c[0] == "Z" or 9 <= code <= 13 or code == 0x85:
        return SPACE  # the property White_Space
    if c == "Mn":
        return MARK
    return {"L": LETTER, "N": NUMBER, "P": PUNCTUATION, "C": CONTROL}.get(c[0], OTHER)


def rows(name, values, per_line=8):
    print(f"static const uint32_t {name}[{len(values)}] = {{")
    for i in range(0, len(values), per_line):
        print("    " + ", ".join(f"0x{v:x}" for v in values[i:i + per_line]) + ",")
    print("};")


def classes():
    runs, before = [], None
    for code in range(LAST):
        now = kind(code)
        if now != before:
            runs.append(code << 3 | now)
        before = now
    rows("unicode_runs", runs)


def lower():
    """Runs of code points with the same distance to their lower case: first, last, distance, step.
    In a run of step 2 every other one is upper case."""
    pairs = [(c, ord(chr(c).lower())) for c in range(LAST) if len(chr(c).lower()) == 1 and chr(c).lower() != chr(c)]
    runs = []
    for code, to in pairs:
        if runs:
            first, last, add, step = runs[-1]
            gap = code - last
            if to - code == add and gap <= 2 and step in (0, gap):
                runs[-1] = (first, code, add, gap)
                continue
        runs.append((code, code, to - code, 0))
    print("static const struct {\n    uint32_t first, last;\n    int32_t add, step;\n}", f"unicode_lower_runs[{len(runs)}] = {{")
    for i in range(0, len(runs), 3):
        print("    " + ", ".join(f"{{0x{a:x}, 0x{b:x}, {d}, {s or 1}}}" for a, b, d, s in runs[i:i + 3]) + ",")
    print("};")


def decompositions():
    """Canonical decompositions, one step each: code, first, second (0: none). Hangul is arithmetic."""
    steps = {}
    for code in range(LAST):
        text = unicodedata.decomposition(chr(code))
        if text and not text.startswith("<"):
            steps[code] = [int(h, 16) for h in text.split()] + [0]
    rows("unicode_steps", [v for code, parts in steps.items() for v in (code, *parts[:2])], 9)
    pairs = sorted((parts[0], parts[1], i) for i, (code, parts) in enumerate(steps.items())
                   if parts[1] and unicodedata.is_normalized("NFC", chr(code)))
    rows("unicode_pairs", [i for _, _, i in pairs], 12)
    return {second for _, second, _ in pairs}


def orders(seconds):
    runs, before = [], None
    for code in range(LAST):
        c = chr(code)
        order = unicodedata.combining(c)
        is_loose = order or code in seconds or not unicodedata.is_normalized("NFC", c) or 0x1161 <= code < 0x1176 or 0x11A8 <= code < 0x11C3
        now = bool(is_loose) << 8 | order
        if now != before:
            runs.append(code << 9 | now)
        before = now
    rows("unicode_orders", runs)


print(f"""/*
 * unicode_table.h -- Unicode {unicodedata.unidata_version}, written by unicode_table.py; not to be edited.
 *
 * unicode_runs: first code point << 3 | UNICODE_*, until the next run.
 * unicode_steps: code point, and the one or two (else 0) that it canonically decomposes to.
 * unicode_pairs: rows of unicode_steps that compose again, by what they compose of.
 * unicode_orders: first code point << 9 | loose << 8 | combining class. What is not loose is the same
 *   in NFC and changes with nothing before it.
 */
#ifndef EVLA_TOKENIZER_UNICODE_TABLE_H
#define EVLA_TOKENIZER_UNICODE_TABLE_H
#include <stdint.h>

// clang-format off""")
classes()
lower()
orders(decompositions())
print("""// clang-format on
#endif""")
