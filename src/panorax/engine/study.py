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
            say(f"{title}: kept from before{_undrawn(file, kept[name], formats)}", out)
            continue
        started = time.perf_counter()
        with working(title, out):
            result = parts[name](part_key)
        seconds = round(time.perf_counter() - started, 1)
        drawn = [figure for figure, x in result.figures.items() if not isinstance(x, str)]
        kept[name] = {"metrics": result.metrics, "seconds": seconds, "figures": drawn}
        processes.first(lambda: _keep(file, kept[name], result, formats))
        say(f"{title}: {seconds} s", out)
    results = (Result(part["metrics"]) for part in kept.values())
    return joined(results), {name: part["seconds"] for name, part in kept.items()}


def _finished(file: Path) -> dict | None:
    """The metrics, seconds and figures of a finished part, None for a missing or damaged file."""
    try:
        part = json.loads(file.read_bytes())
        return {
            "metrics": {**part["metrics"]},
            "seconds": part["seconds"] + 0,
            "figures": [*part.get("figures", [])],
        }
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None


def _undrawn(file: Path, part: dict, formats: Sequence[str]) -> str:
    """Names the pictures of a kept part that lack a format, and says how to draw them."""
    pictures = [Path(name).with_suffix(f".{x}").name for name in part["figures"] for x in formats]
    missing = [name for name in pictures if not (file.parents[1] / name).exists()]
    return f", without {', '.join(missing)}: delete {file} to draw them" if missing else ""


def _keep(file: Path, part: dict, result: Result, formats: Sequence[str]) -> None:
    with files.writing(file.parent):
        rundir.write_figures(file.parents[1], result.figures, formats)
        file.parent.mkdir(exist_ok=True)
        files.replace(file, files.as_json(part) + "\n")
