"""Compares or writes golden files of one group; `regenerate.py` runs it in the group's environment.

    python compare.py [--write] family ...

Floats are stored as float32 and compared to 1e-5 of the largest number of their array, because
processors round differently. All other arrays and the versions are compared exactly.
Exit code 1, and one line per difference, if an array differs.
"""

import argparse
import importlib
import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "golden"
TOLERANCE = 1e-5
# absolute, for float64 sums that are exactly 0, such as the gradient of a bias before a softmax
ROUNDING = 1e-13


def generate(family: str) -> dict[str, np.ndarray]:
    """The arrays of a golden file as they are stored, with the versions of its packages."""
    script = importlib.import_module(family)
    arrays = {name: np.asarray(x) for name, x in sorted(script.generate().items())}
    arrays = {
        name: x.astype(np.float32) if x.dtype.kind == "f" else x for name, x in arrays.items()
    }
    # a local label as in 2.13.0+cpu names the build of a package, not its computation
    versions = {package: version(package).split("+")[0] for package in script.PACKAGES}
    return {"versions": np.array(json.dumps(versions)), **arrays}


def differences(old: dict[str, np.ndarray], new: dict[str, np.ndarray]) -> list[str]:
    """One line for each array that differs."""
    lines = []
    for name in sorted(old.keys() | new.keys()):
        if name not in old or name not in new:
            lines.append(f"{name} is {'only in the file' if name in old else 'not in the file'}")
        elif line := difference(old[name], new[name]):
            lines.append(f"{name} {line}")
    return lines


def difference(old: np.ndarray, new: np.ndarray) -> str | None:
    """How `new` differs from `old`, or None if it does not."""
    if old.dtype.kind == new.dtype.kind == "U":
        return f"was {old}, is {new}" if old != new else None
    if (old.shape, old.dtype) != (new.shape, new.dtype):
        return f"was {old.dtype}{old.shape}, is {new.dtype}{new.shape}"
    if old.dtype.kind != "f":
        return None if np.array_equal(old, new) else "differs"
    finite = np.isfinite(old)
    if not np.array_equal(old[~finite], new[~finite], equal_nan=True):
        return "differs in its infinite numbers"
    error = float(np.abs(old[finite] - new[finite]).max(initial=0))
    allowed = max(TOLERANCE * float(np.abs(old[finite]).max(initial=0)), ROUNDING)
    return None if error <= allowed else f"differs by {error:.2e}, allowed {allowed:.2e}"


def check(family: str) -> list[str]:
    """One line for each difference between a golden file and its oracle."""
    path = GOLDEN / f"{family}.npz"
    if not path.exists():
        return [f"{family}: no file {path.name}"]
    with np.load(path) as file:
        return [f"{family}: {line}" for line in differences(dict(file), generate(family))]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    parser.add_argument("families", nargs="+")
    options = parser.parse_args()
    if options.write:
        for family in options.families:
            np.savez_compressed(GOLDEN / f"{family}.npz", **generate(family))
        return 0
    lines = [line for family in options.families for line in check(family)]
    print("\n".join(lines) or f"{', '.join(options.families)} agree with their oracles")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
