"""Runs a program on files under limits, and says of each run what it cost: one JSON line each on stdout.

    run_limited.py CPU_SECONDS ADDRESS_SPACE_MB OUTPUT_FOLDER BATCH PROGRAM FILE…

PROGRAM is called as `PROGRAM virtualize FILE… -o OUTPUT --json` with BATCH files at a time.
"""

import json
import os
import resource
import sys
import tempfile


def run(cpu, space, arguments):
    out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
    pid = os.fork()
    if pid == 0:
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
        resource.setrlimit(resource.RLIMIT_AS, (space << 20, space << 20))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.execv(arguments[0], arguments)
    _, status, usage = os.wait4(pid, 0)
    out.seek(0)
    err.seek(0)
    return {
        "exit": os.waitstatus_to_exitcode(status),
        "cpu": round(usage.ru_utime + usage.ru_stime, 3),
        "rss": usage.ru_maxrss // 1024,
        "stdout": out.read().decode(errors="replace"),
        "stderr": err.read().decode(errors="replace"),
    }


def main():
    cpu, space, folder, batch, program, *files = sys.argv[1:]
    for first in range(0, len(files), int(batch)):
        some = files[first : first + int(batch)]
        output = folder if len(some) > 1 else os.path.join(folder, "one.json")
        told = run(int(cpu), int(space), [program, "virtualize", *some, "-o", output, "--json"])
        print(json.dumps({"files": some, **told}), flush=True)


if __name__ == "__main__":
    main()
