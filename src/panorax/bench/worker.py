"""Main program of one contender: `python -m panorax.bench.worker MODULE:FUNCTION SETTINGS FOLDER`.

FUNCTION(settings, folder) returns (facts, work). The worker reports the facts at once and after
every round. For each input line it calls work(), which does one round and returns the units of work
done. The optional fact `not_counted` is the seconds to subtract from a round.

Answers are lines of JSON on the original standard output. While the contender runs, its standard
output is redirected to standard error, so that a library may print.
"""

import importlib
import json
import os
import re
import resource
import sys
import time
from pathlib import Path


def main() -> None:
    """Answers every input line until the input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    contender, settings, folder = sys.argv[1:]
    module, _, function = contender.partition(":")
    started = time.perf_counter()
    make = getattr(importlib.import_module(module), function)
    facts, work = make(json.loads(settings), Path(folder))
    ready = {
        "facts": facts,
        "ready_seconds": time.perf_counter() - started,
        "cpu": time.process_time(),
        "peak_mb": _peak_mb(),
    }
    print(json.dumps(ready), file=answers)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        units = work()
        spent = {
            "wall": time.perf_counter() - wall - facts.get("not_counted", 0.0),
            "cpu": time.process_time() - cpu,
        }
        answer = {"units": units, "facts": facts, "peak_mb": _peak_mb()} | spent
        print(json.dumps(answer), file=answers)


def _peak_mb() -> float:
    """Peak resident memory in MiB since this program started.

    `ru_maxrss` would include the memory that the parent held before the fork, so it is used only
    without /proc.
    """
    try:
        return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)


if __name__ == "__main__":
    main()
