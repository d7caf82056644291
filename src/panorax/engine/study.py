"""Runs a study part by part in a run directory; a resumed study keeps its finished parts.

A finished part is a file `parts/NAME.json` with metrics and seconds, written atomically after the
figures, which lie in the run directory. An interrupted part starts again.
"""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

import jax

from panorax.core import files
from panorax.core.state import Result
from panorax.core.study import Part, joined, keys_of
from panorax.engine import rundir
from panorax.engine.progress import say, working
from panorax.parallel import processes


def measure(
    parts: Mapping[str, Part],
    key: jax.Array,
    directory: Path,
    out: TextIO | None = None,
    formats: Sequence[str] = ("png",),
) -> tuple[Result, dict[str, float]]:
    """Measures all parts; returns their metrics, and the seconds of each part.

    Parts that `directory` holds are read, not run. Progress goes to `out`, stdout by default.
    Figures are written, not returned. With many processes, all run every part and process 0 writes.
    """
    out = out or sys.stdout
    kept = {}
    for i, (name, part_key) in enumerate(keys_of(parts, key).items()):
        title = f"part {i + 1} of {len(parts)}, {name}"
        file = directory / "parts" / f"{name}.json"
        kept[name] = processes.first(lambda: _finished(file))
        if kept[name] is not None:
            say(f"{title}: kept from before", out)
            continue
        started = time.perf_counter()
        with working(title, out):
            result = parts[name](part_key)
        seconds = round(time.perf_counter() - started, 1)
        kept[name] = {"metrics": result.metrics, "seconds": seconds}
        processes.first(lambda: _keep(file, kept[name], result, formats))
        say(f"{title}: {seconds} s", out)
    results = (Result(part["metrics"]) for part in kept.values())
    return joined(results), {name: part["seconds"] for name, part in kept.items()}


def _finished(file: Path) -> dict | None:
    """The metrics and seconds of a finished part, None for a missing or damaged file."""
    try:
        part = json.loads(file.read_bytes())
        return {"metrics": {**part["metrics"]}, "seconds": part["seconds"] + 0}
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None


def _keep(file: Path, part: dict, result: Result, formats: Sequence[str]) -> None:
    with files.writing(file.parent):
        rundir.write_figures(file.parents[1], result.figures, formats)
        file.parent.mkdir(exist_ok=True)
        files.replace(file, files.as_json(part) + "\n")
