#!/usr/bin/python3
"""repl.t -- evla repl in a pseudo-terminal and on a pipe: values, pastes, completion, help, mistakes, Ctrl-C, Ctrl-D."""
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import termios
import time
import fcntl
from tap import done, ok

here = os.path.dirname(os.path.abspath(__file__))
build = os.path.abspath(os.environ.get("EVLA_BUILD", os.path.join(here, "..", "build")))
evla = os.path.join(build, "evla")
point = os.path.join(build, "tests", "plugins", "body_point.so")
slow = 4 if os.environ.get("EVLA_SAN") else 1


class Terminal:
    """evla repl with a person in front of it."""

    def __init__(self, home, *words, **env):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(home)
            os.environ.update({"HOME": home, "TERM": "xterm", "LC_ALL": "C.UTF-8", **env})
            if "XDG_STATE_HOME" not in env:
                os.environ.pop("XDG_STATE_HOME", None)
            os.execv(evla, [evla, "repl", *words])
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.seen = ""

    def until(self, pattern, seconds=15):
        """What came until the pattern did; the rest stays."""
        end = time.time() + seconds * slow
        while True:
            text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]|\r", "", self.seen)
            m = re.search(pattern, text, re.S)
            if m:
                self.seen = text[m.end():]
                return text[:m.end()]
            left = end - time.time()
            if left <= 0:
                raise TimeoutError("waited for %r, got:\n%s" % (pattern, text))
            if select.select([self.fd], [], [], left)[0]:
                try:
                    got = os.read(self.fd, 65536)
                except OSError:
                    got = b""
                if not got:
                    raise EOFError("it left; waited for %r, got:\n%s" % (pattern, text))
                self.seen += got.decode(errors="replace")

    def type(self, text):
        os.write(self.fd, text.encode())

    def line(self, text, pattern=None, seconds=15):
        self.type(text + "\r")
        return self.until(pattern + r".*?evla> $" if pattern else r"evla> $", seconds)

    def leave(self):
        end = time.time() + 10 * slow
        while time.time() < end:
            try:
                if select.select([self.fd], [], [], 0.05)[0]:
                    os.read(self.fd, 65536)
            except OSError:
                pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        return "it did not leave"


def attempt(title, f):
    try:
        note = f()
        ok(note is None or note is True, title, note)
    except (TimeoutError, EOFError, OSError) as e:
        ok(False, title, e)


def in_terminal(home):
    t = Terminal(home, "--plugins", point)
    attempt("a banner of one line greets", lambda: t.until(r"evla 0\.\d+\.\d+, \d+ plugins: [^\n]*\n[^\n]*evla> $") and None)
    attempt("an expression shows its value", lambda: t.line("6 * 7", r"\n42\n") and None)
    attempt("a table is shown with its names", lambda: t.line("{ b = 2, a = { 1, 'x' } }", r'\{ a = \{ 1, "x" \}, b = 2 \}') and None)
    attempt("an unfinished chunk asks for more", lambda: (t.type("for i = 1, 2 do\r"), t.until(r"\.\. $"), t.type("print('n' .. i)\r"),
                                                    t.until(r"\.\. $"), t.line("end", r"n1\nn2\n")) and None)
    paste = "local a = 1\nlocal b = {\n  20,\n  'ä→'\n}\nprint(a + b[1], b[2])\n"
    attempt("a paste of several lines is one chunk, in UTF-8",
            lambda: (t.type("\033[200~" + paste.replace("\n", "\r") + "\033[201~"), t.line("", r"\n21\tä→|\n21 +ä→")) and None)
    attempt("what was declared local is still there", lambda: t.line("a + 100", r"\n101\n") and None)
    attempt("a word is completed", lambda: (t.type("evla.sta\t"), t.until(r"evla\.stage\."), t.type("hd\t"), t.until(r"hdf5 \{ ")) and None)
    attempt("in an item's braces its parameters are listed with their docs",
            lambda: (t.type("\t"), t.until(r"path +path.*layout +one of.*stage\.hdf5 \{ ")) and None)
    attempt("and completed", lambda: (t.type("comp\t"), t.until(r"compress = ")) and None)
    attempt("and so are the words of an enum", lambda: (t.type("\"gz\t"), t.until(r'"gzip"'), t.type("\x03"), t.until(r"\^C\n.*evla> $")) and None)
    attempt("over several lines, too", lambda: (t.type("x = evla.body.point {\r"), t.until(r"\.\. $"), t.type("  ra\t"), t.until(r"rate = "),
                                                t.type("50 }\r"), t.until(r"evla> $"), t.line("x", r"rate += 50\.0 +-- control rate")) and None)
    attempt("help prints the parameter table", lambda: t.line("help(evla.stage.hdf5)", r"path +the dataset.*default 2GiB") and None)
    attempt("help without a thing explains the prompt", lambda: t.line("help()", r"Ctrl-D") and None)
    attempt("an unknown name is told with the nearest", lambda: t.line("prnt(1)", r'repl:1: nothing is called "prnt"; did you mean "print"\?') and None)
    attempt("a syntax error is told, and the prompt returns", lambda: t.line("x = = 1", r"repl:1: unexpected symbol near '='") and None)
    attempt("an error in an unfinished chunk does not wait for more", lambda: t.line("for i = do", r"repl:1: ") and None)
    attempt("a thrown table is told", lambda: t.line("error({})", r"threw a table") and None)
    attempt("deep recursion is told", lambda: t.line("function f() return 1 + f() end f()", r"stack overflow") and None)
    attempt("a hungry line is told", lambda: t.line("y = {} for i = 1, 1e9 do y[i] = ('x'):rep(1e5) .. i end", r"needs more than \d+ MiB", 60) and None)
    attempt("its memory comes back", lambda: t.line("y = nil collectgarbage() 1", r"repl:1") and t.line("1 + 1", r"\n2\n") and None)
    attempt("a value whose __tostring fails is told", lambda: t.line("setmetatable({}, {__tostring = function() error('no') end})", r"repl:1: no") and None)
    attempt("Ctrl-C at the prompt drops the line", lambda: (t.type("1 + "), time.sleep(0.2), t.type("\x03"), t.until(r"\^C\n.*evla> $"), t.line("3", r"\n3\n")) and None)
    attempt("Ctrl-C in the middle of a chunk drops it", lambda: (t.type("x = {\r"), t.until(r"\.\. $"), t.type("\x03"), t.until(r"\^C\n.*evla> $")) and None)
    attempt("Ctrl-C interrupts a loop", lambda: (t.type("while true do end\r"), time.sleep(0.5), t.type("\x03"), t.until(r"interrupted.*evla> $", 5)) and None)
    attempt("even one that catches everything",
            lambda: (t.type("while true do pcall(function() while true do end end) end\r"), time.sleep(0.5), t.type("\x03"), t.until(r"interrupted.*evla> $", 5)) and None)
    attempt("and the next line works", lambda: t.line("7", r"\n7\n") and None)
    attempt("a job is declared", lambda: t.line("demos = evla.pipeline 'demos' { evla.rollout { body = evla.body.point { ticks = 60 }, policy = 'expert', "
                                                "episodes = 4, seed = 1 }, evla.stage.hdf5 { path = 'demos.hdf5' } }") and None)
    attempt("checked", lambda: t.line("demos:check()", r'pipeline "demos" \(repl:1\)') and None)
    attempt("and run", lambda: t.line("demos:run()", r"done in", 30) and None)
    attempt("its records are shown", lambda: t.line("evla.records(demos.result):record(1)", r"obs/pos +f32\[60,2\]") and None)
    attempt("a tensor is shown with shape, range and sparkline",
            lambda: t.line("evla.records(demos.result):record(1)['obs/pos']", r"f32\[60,2\]  -?[\d.e-]+ to [\d.]+, mean.*[▁▂▃▄▅▆▇█]{20}") and None)
    attempt("a job's methods are completed", lambda: (t.type("demos:ch\t"), t.until(r"demos:check\("), t.type("\x03"), t.until(r"evla> $")) and None)
    attempt("Ctrl-C stops a job that runs",
            lambda: (t.line("long = evla.pipeline 'long' { evla.rollout { body = evla.body.point { ticks = 60, slow = '5ms' }, policy = 'expert', "
                            "episodes = 500, seed = 1 }, evla.stage.hdf5 { path = 'long.hdf5' } }"),
                     t.type("long:run()\r"), time.sleep(1.0), t.type("\x03"), t.until(r"(stop|interrupt).*evla> $", 10)) and None)
    attempt("arrow up brings the last line back", lambda: (t.line("1 + 10", r"\n11\n"), t.type("\033[A"), t.until(r"1 \+ 10"), t.line("0", r"\n101\n")) and None)
    time.sleep(0.5 * slow)  # libedit shows its prompt a moment before it takes the terminal; a key in between is the terminal's
    t.type("\x04")
    code = t.leave()
    ok(code == 0, "Ctrl-D leaves with 0", code)
    path = os.path.join(home, ".local", "state", "evla", "history")
    ok(os.path.exists(path), "the history is kept in the state folder")

    t = Terminal(home, XDG_STATE_HOME="", NO_COLOR="1")
    attempt("a later session starts with it", lambda: (t.until(r"evla> $"), t.type("\033[A"), t.until(r"1 \+ 100"), t.line("", r"\n101\n")) and None)
    attempt("a paste of 300 lines arrives whole",
            lambda: (t.type("\033[200~n = 0\r" + "n = n + 1\r" * 300 + "\033[201~"), time.sleep(0.3), t.line("", None), t.line("n", r"\n300\n")) and None)
    t.type("exit\r")
    ok(t.leave() == 0, "exit leaves, too")

    state = os.path.join(home, "state")
    t = Terminal(home, XDG_STATE_HOME=state)
    t.until(r"evla> $")
    t.line("'kept in a folder of its own'", r"folder of its own")
    t.type("('a'):rep(40):find(('a-'):rep(40) .. 'b')\r")
    time.sleep(0.3)
    for _ in range(3):
        t.type("\x03")
        time.sleep(0.2)
    attempt("a line that hides in a pattern is left by the third Ctrl-C", lambda: t.until(r"does not listen.*history", 5) and None)
    ok(t.leave() == 130, "with 130")
    with open(os.path.join(state, "evla", "history")) as f:
        ok("rep(40)" in f.read(), "and that line is in the history of XDG_STATE_HOME")


def raw(home):
    """Colours and control codes as they come."""
    for env, wants in (({}, True), ({"NO_COLOR": "1"}, False)):
        t = Terminal(home, **env)
        text, end = "", time.time() + 10 * slow
        t.type("nonsense_name\r")
        while "nothing is called" not in text and time.time() < end:
            if select.select([t.fd], [], [], 0.2)[0]:
                text += os.read(t.fd, 65536).decode(errors="replace")
        ok(bool(re.search(r"\x1b\[3[16]m", text)) == wants, "colours " + ("by default" if wants else "not under NO_COLOR"), repr(text))
        t.type("\x03\x04")
        t.leave()


def on_a_pipe(home):
    def pipe(text, *words, **more):
        env = dict(os.environ, HOME=home)
        return subprocess.run([evla, "repl", *words], input=text, capture_output=True, text=isinstance(text, str), cwd=home, env=env, timeout=60 * slow, **more)

    r = pipe("1 + 1\nlocal x = 5\nx * 2\nfor i = 1, 2 do\n  print(i)\nend\n")
    ok(r.stdout == "2\n10\n1\n2\n" and r.returncode == 0 and r.stderr == "", "a file of lines prints its values and ends with 0", r)
    r = pipe("1\n\n\nlocal y = nope\n2\n")
    ok(r.stdout == "1\n2\n" and r.returncode == 1, "a mistake gives 1, what follows still runs", r)
    ok('stdin:4: nothing is called "nope"' in r.stderr, "and is told with its line", r.stderr)
    r = pipe("x = {\n")
    ok(r.returncode == 1 and "stdin:" in r.stderr, "an unfinished end is a mistake", r)
    r = pipe("")
    ok(r.returncode == 0 and r.stdout == "", "nothing in, nothing out")
    import random
    random.seed(5)
    junk = bytes(random.randrange(256) for _ in range(20000))
    r = pipe(junk)
    ok(r.returncode in (0, 1), "noise is survived", r.returncode)
    words = ["evla", ".", "stage", "{", "}", "(", ")", "local", "=", "'", '"', "[[", "]]", "--", "\n", "function", "end", "1", "..", "nil", "help", ":", "pipeline", "_G", "#", "setmetatable", ",", "[", "]", "string"]
    r = pipe("".join(random.choice(words) + " " for _ in range(20000)))
    ok(r.returncode in (0, 1), "and so is a salad of words", r.returncode)
    r = pipe("_G.print = nil string.format = nil string.gsub = nil table.concat = nil evla = nil setmetatable(_G, nil)\n1 + 1\n{ 1, x = 2 }\n")
    ok(r.returncode in (0, 1), "and a user who throws everything away", r)
    r = pipe("print(#tostring(evla.describe))\nexit\nerror('not reached')\n")
    ok(r.returncode == 0, "exit leaves a pipe")
    with open(os.path.join(home, "prog.lua"), "w") as f:
        f.write('local evla = require "evla"\nreturn evla.program { evla.pipeline "made" { evla.rollout { body = evla.body.point {}, '
                'policy = "expert", episodes = 2, seed = 1 }, evla.stage.hdf5 { path = "d.hdf5" } } }\n')
    r = pipe("made.name\nmade:check().state\n", "prog.lua", "--plugins", point)
    ok(r.stdout == '"made"\n"waiting"\n' and r.returncode == 0, "a program's jobs are there under their names", r)
    r = pipe("io.open('/etc/hostname')\n")
    ok(r.returncode == 1 and "outside" in r.stderr, "the sandbox holds here, too", r)


home = tempfile.mkdtemp(prefix="evla-repl-")
try:
    # Keys are timed, which a sanitizer's slowness upsets: the terminal is tested in the plain build, and the
    # sanitizers see the same code through pipes.
    if os.environ.get("EVLA_SAN"):
        print("# terminal sessions are left to the plain build")
    else:
        in_terminal(home)
        raw(home)
    on_a_pipe(home)
finally:
    shutil.rmtree(home, ignore_errors=True)
done()
