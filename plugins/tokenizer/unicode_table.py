#!/usr/bin/python3
"""unicode_table.py -- writes unicode_table.h from the Unicode data that Python brings.

python3 plugins/tokenizer/unicode_table.py >plugins/tokenizer/unicode_table.h
"""
import sys
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


def bases():
    """What is left of a canonical decomposition without its non-spacing marks. Hangul is arithmetic."""
    pool, index, longest = [], [], 0
    for code in range(LAST):
        if 0xAC00 <= code < 0xD7A4 or unicodedata.category(chr(code)) in ("Cs", "Mn"):
            continue
        whole = unicodedata.normalize("NFD", chr(code))
        if whole == chr(code):
            continue
        base = [ord(c) for c in whole if unicodedata.category(c) != "Mn"]
        longest = max(longest, len(base))
        index += [code, len(pool) << 4 | len(base)]
        pool += base
    if longest > 8:
        sys.exit("UNICODE_BASE_MAX is too small")
    rows("unicode_base_index", index)
    rows("unicode_base_pool", pool)


print(f"""/*
 * unicode_table.h -- Unicode {unicodedata.unidata_version}, written by unicode_table.py; not to be edited.
 *
 * unicode_runs: first code point << 3 | UNICODE_*, until the next run.
 * unicode_base_index: pairs of a code point and place << 4 | count in unicode_base_pool.
 */
#ifndef EVLA_TOKENIZER_UNICODE_TABLE_H
#define EVLA_TOKENIZER_UNICODE_TABLE_H
#include <stdint.h>

// clang-format off""")
classes()
lower()
bases()
print("""// clang-format on
#endif""")
