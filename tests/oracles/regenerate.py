"""Golden files: outputs of independent implementations, stored so that the tests need none of them.

    python tests/oracles/regenerate.py [family ...]            compares files with their oracles
    python tests/oracles/regenerate.py --write [family ...]    writes the files

A family is a script in this folder with two literals and a function:

    GROUP       name of its environment, `requirements/<group>.txt` installed in
                `.venv-oracles/<group>`
    PACKAGES    distributions whose versions the golden file records
    generate() -> {"case/name": array}

Groups are independent, so that the pins of one never restrict another. `make oracles` installs all
environments and compares all files. This script needs only the standard library.
Exit code 1 if a file differs from its oracle.
"""

import argparse
import ast
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parents[1] / ".venv-oracles"


def literals(path: Path) -> dict:
    """The module-level constants of a script that are literals, read without importing it."""
    values = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                values[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                pass  # computed
    return values


def groups() -> dict[str, list[str]]:
    """The families of each group."""
    families = {}
    for path in sorted(HERE.glob("*.py")):
        if group := literals(path).get("GROUP"):
            families.setdefault(group, []).append(path.stem)
    return families


def main() -> int:
    known = groups()
    parser = argparse.ArgumentParser(description="compares or writes golden files")
    everything = [family for families in known.values() for family in families]
    accepted = ", ".join(sorted(everything))
    parser.add_argument("families", nargs="*", metavar="family", help=f"default: all of {accepted}")
    parser.add_argument("--write", action="store_true", help="write the files")
    options = parser.parse_args()
    chosen = set(options.families or everything)
    if unknown := chosen - set(everything):
        parser.error(f"unknown family {', '.join(sorted(unknown))}")
    # no downloads, and one thread so that sums have one order
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    failed = False
    for group, families in known.items():
        families = sorted(chosen & set(families))
        if not families:
            continue
        python = ENVIRONMENTS / group / "bin" / "python"
        if not python.exists():
            parser.error(f"{ENVIRONMENTS / group} is missing; `make oracles` installs it")
        write = ["--write"] if options.write else []
        command = [python, HERE / "compare.py", *write, *families]
        failed |= subprocess.run(command, env=environment).returncode != 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
