"""page.py -- runs a page of docs: every block is true. Programs run, commands print what the page shows.

Numbers and the width of gaps may differ; words may not. A block of Lua says in its first line what file it is."""
import os
import re
import shutil
import subprocess
import tempfile
from tap import done, need, ok

here = os.path.dirname(os.path.abspath(__file__))
build = os.path.abspath(os.environ.get("EVLA_BUILD", os.path.join(here, "..", "build")))
folder = None


def same(line):
    """The line without what may differ."""
    return re.sub(r"\s+", " ", re.sub(r"-?\d+(\.\d+)?(e[-+]?\d+)?", "#", line)).strip()


def run(command, said=None):
    env = dict(os.environ, PATH=build + os.pathsep + os.environ["PATH"], HOME=folder)
    r = subprocess.run(["sh", "-ec", command], cwd=folder, env=env, input=said, capture_output=True, text=True, timeout=300)
    return r.returncode, r.stdout + r.stderr


def blocks(page):
    printed = ""
    for language, text in re.findall(r"^```([a-z ]+)\n(.*?)^```$", page, re.S | re.M):
        if language == "lua":
            name = re.match(r"-- ((?:models/)?[a-z]+\.lua)\n", text)
            ok(name, "a program says what file it is", text)
            os.makedirs(os.path.dirname(os.path.join(folder, name.group(1))), exist_ok=True)
            with open(os.path.join(folder, name.group(1)), "w") as f:
                f.write(text)
        elif language in ("sh", "sh fails"):
            code, printed = run(text)
            ok((code != 0) == (language == "sh fails"), "%s: %s" % ("fails" if "fails" in language else "works", text.strip().splitlines()[-1]), printed)
        elif language == "text":
            have = [same(line) for line in printed.splitlines()]
            for line in text.splitlines():
                ok(same(line) in have, "prints: " + line.strip()[:70], "want %s\n%s" % (same(line), "\n".join(have)))
        elif language == "repl":
            lines = text.splitlines()
            typed = "".join(line[6:] + "\n" for line in lines if line.startswith("evla> "))
            code, printed = run("evla repl", typed)
            have, at = [same(line) for line in printed.splitlines()], 0
            ok(code == 0, "the lines of the prompt run", printed)
            for line in lines:
                if line.startswith("evla> "):
                    continue
                found = same(line) in have[at:]
                at = have.index(same(line), at) + 1 if found else at
                ok(found, "the prompt answers: " + line[:60], "\n".join(have))
        else:
            ok(False, "a block in a language that nobody runs: " + language)


def test(name, needs):
    """docs/NAME, unless something in build is missing."""
    global folder
    need(*(os.path.join(build, name) for name in needs))
    with open(os.path.join(here, "..", "docs", name)) as f:
        page = f.read()
    folder = tempfile.mkdtemp(prefix="evla-page-")
    try:
        blocks(page)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    done()
