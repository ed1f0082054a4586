#!/usr/bin/env python3
"""Processor seconds and peak memory (MB) of a program and of what it waited for.

    measure.py PROGRAM [ARGUMENT…]
"""

import subprocess
import sys

# A child forked from a large process would show that one's memory as its own peak; a bare interpreter's is about 10 MB.
LAUNCH = """
import os, sys
pid = os.fork()
if not pid:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.execvp(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(pid, 0)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000)
sys.exit(status != 0)
"""


def measure(argv: list[str]) -> tuple[float, float]:
    """Runs a program to its end; whatever it says on stdout is dropped."""
    launcher = [sys.executable, "-I", "-S", "-c", LAUNCH, *argv]
    done = subprocess.run(launcher, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{argv[0]} failed: {done.stderr[-400:]}")
    cpu, memory = done.stdout.split()
    return float(cpu), float(memory)


if __name__ == "__main__":
    print(*measure(sys.argv[1:]))
