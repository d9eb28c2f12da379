"""tap.py -- claims as TAP lines, for tests written in Python."""
import os
import sys

count = failed = 0


def ok(claim, title, note=""):
    """Counts a claim; the last lines of the note explain one that fails."""
    global count, failed
    count += 1
    failed += not claim
    print("ok" if claim else "not ok", count, "-", title, flush=True)
    if not claim:
        for line in str(note).splitlines()[-25:]:
            print("#", line[:400], flush=True)
    return claim


def skip(title, why):
    global count
    count += 1
    print("ok", count, "-", title, "# SKIP", why, flush=True)


def need(*files):
    """Leaves the whole test out unless what it runs and reads is there."""
    for file in files:
        if not os.path.exists(file):
            print("1..0 # SKIP", file, "is not there", flush=True)
            sys.exit(0)


def done():
    print(f"1..{count}", flush=True)
    sys.exit(failed != 0)
