"""Runs a study part by part in a run directory: a finished part is kept, a resumed study goes on.

A finished part is `parts/NAME.json` (metrics, seconds, names of its figures), written last and at
once; its figures lie in the run directory. A part that was interrupted starts again.
"""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import jax

from panorax.core import files
from panorax.core.state import Result
from panorax.core.study import Part, joined, keys_of
from panorax.engine import rundir
from panorax.parallel import processes

Progress = Callable[[str], None]  # prints one line


def measure(
    parts: Mapping[str, Part], key: jax.Array, directory: Path, say: Progress = print
) -> tuple[Result, dict[str, float]]:
    """The metrics of all parts, and the seconds that each took.

    Parts that `directory` holds already are read, not run. `say` gets a line before and after each
    part. Figures are written, not returned. With many processes, all run every part and process 0
    writes.
    """
    kept = {}
    for i, (name, own) in enumerate(keys_of(parts, key).items()):
        place = f"part {i + 1} of {len(parts)}, {name}"
        file = directory / "parts" / f"{name}.json"
        kept[name] = processes.first(
            lambda: json.loads(file.read_text()) if file.exists() else None
        )
        if kept[name] is not None:
            say(f"{place}: kept from before")
            continue
        say(f"{place} ...")
        started = time.perf_counter()
        result = parts[name](own)
        seconds = round(time.perf_counter() - started, 1)
        kept[name] = {"metrics": result.metrics, "seconds": seconds}
        processes.first(lambda: _keep(file, kept[name], result))
        say(f"{place}: {seconds} s")
    results = (Result(part["metrics"]) for part in kept.values())
    return joined(results), {name: part["seconds"] for name, part in kept.items()}


def _keep(file: Path, part: dict, result: Result) -> None:
    with files.writing(file.parent):
        rundir.write_figures(file.parents[1], result.figures)
        file.parent.mkdir(exist_ok=True)
        files.replace(file, json.dumps(part) + "\n")
