"""One contender's process: `python -m panorax.bench.worker MODULE:FUNCTION SETTINGS FOLDER`.

FUNCTION(settings, folder) returns (facts, work): facts are told at once and after every round, and work() does one round each time a line comes in
and returns the units of work that it did. The fact `not_counted`, where there is one, is the seconds of a round that are not part of it. Answers are lines of JSON on what was the standard output, which now belongs to the standard error.
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
    """Serve until the input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    contender, settings, folder = sys.argv[1:]
    module, _, function = contender.partition(":")
    started = time.perf_counter()
    facts, work = getattr(importlib.import_module(module), function)(
        json.loads(settings), Path(folder)
    )
    ready = {
        "ready_seconds": time.perf_counter() - started,
        "cpu": time.process_time(),
        "peak_mb": _peak_mb(),
    }
    print(json.dumps({"facts": facts} | ready), file=answers)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        units = work()
        spent = {
            "wall": time.perf_counter() - wall - facts.get("not_counted", 0.0),
            "cpu": time.process_time() - cpu,
        }
        print(
            json.dumps({"units": units, "facts": facts, "peak_mb": _peak_mb()} | spent),
            file=answers,
        )


def _peak_mb() -> float:
    """Peak resident memory since this program started; `ru_maxrss` would count what the parent held before it."""
    try:
        return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)


if __name__ == "__main__":
    main()
