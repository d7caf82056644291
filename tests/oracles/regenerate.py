"""Golden files: what independent implementations answer, kept so that the tests need none of them.

    python tests/oracles/regenerate.py [--check] [family ...]    compare each file with what its oracle answers now
    python tests/oracles/regenerate.py --write [family ...]      write the files

To be run where `requirements.txt` of this folder is installed. A family is a script here with `PACKAGES`, the distributions it
relies on, and `generate() -> {"case/name": array}`. Floating point numbers are stored as float32, and compared to 1e-5 of the
largest of their array (1e-13 where all of it is smaller), for other processors round differently; everything else, the versions included, is compared exactly.
Exit code 1 and one line per difference where there is one.
"""

import argparse
import importlib
import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
FAMILIES = sorted(
    path.stem for path in HERE.glob("*.py") if path.stem not in ("case", "regenerate")
)
TOLERANCE = 1e-5
ROUNDING = 1e-13  # what a float64 sum that is zero may differ by, as the gradient of a bias that softmax takes away


def generate(family: str) -> dict[str, np.ndarray]:
    """The arrays of a golden file, as they are stored."""
    script = importlib.import_module(family)
    arrays = {name: np.asarray(x) for name, x in sorted(script.generate().items())}
    arrays = {
        name: x.astype(np.float32) if x.dtype.kind == "f" else x for name, x in arrays.items()
    }
    # a local label as in 2.13.0+cpu says how a package was built, not what it computes
    versions = {package: version(package).split("+")[0] for package in script.PACKAGES}
    return {"versions": np.array(json.dumps(versions)), **arrays}


def differences(old: dict[str, np.ndarray], new: dict[str, np.ndarray]) -> list[str]:
    """One line for each array that is not the same."""
    found = []
    for name in sorted(old.keys() | new.keys()):
        if name not in old or name not in new:
            found.append(f"{name} is {'in the file alone' if name in old else 'not in the file'}")
        elif old[name].dtype.kind == new[name].dtype.kind == "U":
            if old[name] != new[name]:
                found.append(f"{name} was {old[name]}, is {new[name]}")
        elif (old[name].shape, old[name].dtype) != (new[name].shape, new[name].dtype):
            found.append(
                f"{name} was {old[name].dtype}{old[name].shape}, is {new[name].dtype}{new[name].shape}"
            )
        elif old[name].dtype.kind == "f":
            error, allowed = distance(old[name], new[name])
            if not error <= allowed:
                found.append(f"{name} differs by {error:.2e}, allowed {allowed:.2e}")
        elif not np.array_equal(old[name], new[name]):
            found.append(f"{name} differs")
    return found


def distance(old: np.ndarray, new: np.ndarray) -> tuple[float, float]:
    """Largest difference, and how large it may be; infinite where not the same numbers are finite."""
    finite = np.isfinite(old)
    if not np.array_equal(old[~finite], new[~finite], equal_nan=True):
        return np.inf, 0.0
    old, new = old[finite], new[finite]
    return float(np.abs(old - new).max(initial=0)), max(
        TOLERANCE * float(np.abs(old).max(initial=0)), ROUNDING
    )


def check(family: str) -> list[str]:
    path = GOLDEN / f"{family}.npz"
    if not path.exists():
        return [f"{family}: no file {path.name}"]
    with np.load(path) as file:
        return [f"{family}: {line}" for line in differences(dict(file), generate(family))]


def main() -> int:
    parser = argparse.ArgumentParser(
        description="compare (or write) the golden files with what their oracles answer"
    )
    parser.add_argument(
        "families", nargs="*", metavar="family", help=f"default: all of {', '.join(FAMILIES)}"
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="compare (the default)")
    mode.add_argument(
        "--write", action="store_true", help="write the files instead of comparing them"
    )
    options = parser.parse_args()
    families = options.families or FAMILIES
    if unknown := set(families) - set(FAMILIES):
        parser.error(f"unknown family {', '.join(sorted(unknown))}")
    os.environ["HF_HUB_OFFLINE"] = (
        "1"  # nothing here is downloaded, and without it some imports ask the network
    )
    importlib.import_module("torch").set_num_threads(1)
    if options.write:
        for family in families:
            np.savez_compressed(GOLDEN / f"{family}.npz", **generate(family))
        return 0
    found = [line for family in families for line in check(family)]
    print("\n".join(found) or f"{len(families)} golden files agree with their oracles")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
