"""processes.py -- programs that are measured, each in a process of its own, and who else had the processors meanwhile."""
import os
import subprocess
import sys
import tempfile
import time


def ticks():
    """jiffies that processors were busy, and all of them"""
    with open("/proc/stat") as f:
        t = [int(x) for x in f.readline().split()[1:9]]
    return sum(t) - t[3] - t[4], sum(t)


def has(feature):
    """whether the processor has it, by the name that the system gives it"""
    with open("/proc/cpuinfo") as f:
        return feature in next((line for line in f if line.startswith(("flags", "Features"))), "").split()


def machine():
    """what ratios of number formats hang on"""
    with open("/proc/cpuinfo") as f:
        name = next((line.split(":")[1].strip() for line in f if line.startswith("model name")), "a processor without a name")
    return name + "; " + ("bf16 has an instruction" if has("avx512_bf16") else "no instruction multiplies bf16, so it takes f32's time here, beside a peer of f32 its bars are out of reach")


class Share:
    """the processor time that went to nobody who was measured"""
    own = busy = total = 0

    @staticmethod
    def others():
        return max(0, Share.busy - Share.own) / max(1, Share.total)


def run(command, folder):
    """what a process printed, its peak memory in bytes, and the seconds until its first byte; ends this program where it fails"""
    busy, total = ticks()
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as errors:
        p = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, cwd=folder)
        first = p.stdout.read(1)
        first_s = time.monotonic() - began
        text = (first + p.stdout.read()).decode()
        _, status, used = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
        if p.returncode:
            errors.seek(0)
            sys.exit(f"bench: {' '.join(command)}\n{errors.read()[-800:]}")
    after = ticks()
    Share.own += (used.ru_utime + used.ru_stime) * os.sysconf("SC_CLK_TCK")
    Share.busy += after[0] - busy
    Share.total += after[1] - total
    return text, used.ru_maxrss * 1024, first_s


class Competitor:
    """a process that counts as fast as it can, as long as the block runs"""
    def __enter__(self):
        self.process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        time.sleep(0.2)

    def __exit__(self, *_):
        self.process.kill()
        used = os.wait4(self.process.pid, 0)[2]
        self.process.returncode = -9
        Share.own += used.ru_utime * os.sysconf("SC_CLK_TCK")
