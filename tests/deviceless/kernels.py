"""Compiles every GPU kernel for an H200 on a CPU and reports its registers and memory.

    make gpu-check       installs XLA's CUDA compiler (no driver, Python 3.12 or newer), runs this

Compiles each real case of each operation of `pallas_kernels` with its gradients. The table has a
row for each kernel of the compiled program, the fusions that XLA adds included: threads of a block,
registers and spilled bytes of a thread, bytes of shared memory of a block. The last lines name the
kernels that spill. `runs/gpu-check.json` has the same rows. A case that a kernel refuses, by
NotImplementedError, is listed with the reason. Exits with 1 if a case does not compile.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import target

from pallas_kernels import operations
from pallas_kernels.operation import Case, Operation

TARGETS = ("triton", "triton_v1", "mosaic")
LAUNCH = re.compile(
    r"\] (?P<kernel>\S+) grid: \[(?P<grid>[\d, ]+)\] threads: \[(?P<threads>[\d, ]+)\]"
    r"\s+shared_memory: (?P<shared>\d+) bytes"
)
MOSAIC = re.compile(
    r"gpu\.launch .*? in (?P<grid>\(.*?\)) threads.*? in (?P<threads>\(.*?\))"
    r" dynamic_shared_memory_size %c(?P<shared>\d+)"
)
PTXAS = re.compile(
    r"Function properties for (?P<kernel>\S+)\s.*?(?P<stores>\d+) bytes spill stores, "
    r"(?P<loads>\d+) bytes spill loads.*?Used (?P<registers>\d+) registers"
    r"(?:[^\n]*?(?P<shared>\d+) bytes smem)?",
    re.DOTALL,
)
RESULTS = ("kernels", "refused", "error")
FIELDS = ("kernel", "grid", "threads", "registers", "spilled", "shared")
LINE = "{kernel:36} {grid:>15} {threads:>7} {registers:>9} {spilled:>7} {shared:>8}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, default=Path("runs/gpu-check.json"))
    parser.add_argument("--only", default="", help="text in the names of the checked operations")
    arguments = parser.parse_args()
    (device,) = target.h200(1)
    checks = [
        {"operation": name, "implementation": implementation, "case": case.name}
        | check(operation, case, implementation, device)
        for name, operation in operations().items()
        if arguments.only in name
        for implementation in TARGETS
        if implementation in operation.implementations
        for case in operation.cases
        if case.size == "gpu"
    ]
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(checks, indent=1) + "\n")
    print()
    for line in spills(checks):
        print(line)
    compiled, refused, failed = (sum(key in row for row in checks) for key in RESULTS)
    print(f"{compiled} programs compiled, {refused} refused, {failed} failed; {arguments.json}")
    return 1 if failed or not compiled else 0


def check(operation: Operation, case: Case, implementation: str, device) -> dict:
    """Kernels of the compiled case, why it is refused, or its error; printed as they come."""
    print(f"\n{implementation}: {operation.run.__name__}, {case.name}")
    with tempfile.TemporaryDirectory() as folder:
        try:
            compile_case(operation, case, implementation, device, folder)
        except NotImplementedError as error:
            print(f"  refused: {error}", flush=True)
            return {"refused": str(error)}
        except Exception as error:  # the check reports whatever a compiler raises
            message = f"{type(error).__name__}: {error}"
            print("  failed: " + message.splitlines()[0], flush=True)
            return {"error": message}
        kernels = list(resources(Path(folder)))
    print("  " + LINE.format(**{name: name for name in FIELDS}))
    for kernel in kernels:
        print("  " + LINE.format(**kernel | {"grid": " x ".join(map(str, kernel["grid"]))}))
    sys.stdout.flush()
    return {"kernels": kernels}


def compile_case(operation: Operation, case: Case, implementation: str, device, folder: str):
    """Compiles value and gradients of a case; XLA and Mosaic dump its kernels to the folder."""
    os.environ["MOSAIC_GPU_DUMP_TO"] = folder
    lowered = target.lowered(operation, case, implementation, device)
    lowered.compile(compiler_options={"xla_dump_to": folder, "xla_dump_emitter_re": "ptx"})


def spills(checks: list[dict]) -> Iterator[str]:
    """A line for each kernel of `pallas_kernels` or XLA whose registers do not suffice."""
    for row in checks:
        for kernel in row.get("kernels", ()):
            if kernel["spilled"] not in (0, "?"):
                yield f"{kernel['kernel']} spills {kernel['spilled']} bytes: {row['case']}"


def resources(folder: Path) -> Iterator[dict]:
    """Every launch of the dumped program, with what ptxas says about its kernel.

    XLA's list has the kernels of Triton, not those of Mosaic, which dumps a module for each.
    """
    (thunks,) = folder.glob("*.thunk_sequence.txt")
    compiled = {}
    for ptx in folder.glob(f"{thunks.name.partition('.')[0]}.*.ptx"):
        compiled |= assembled(ptxas(ptx))
    yield from launches(thunks.read_text(), compiled)
    for module in sorted(folder.glob("*.before_layout_inference.txt")):
        ptx = module.with_name(module.name.replace("before_layout_inference.txt", "ptx"))
        yield mosaic_launch(module.read_text(), assembled(ptxas(ptx)))


def ptxas(ptx: Path) -> str:
    """What the assembler says about a file."""
    command = ["ptxas", "-v", "-arch=sm_90a", ptx, "-o", "/dev/null"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stderr


def assembled(messages: str) -> dict[str, dict]:
    """Registers, spilled bytes and static shared memory of each kernel, from `ptxas -v`."""
    return {
        found["kernel"]: {
            "registers": int(found["registers"]),
            "spilled": int(found["stores"]) + int(found["loads"]),
            "shared": int(found["shared"] or 0),
        }
        for found in PTXAS.finditer(messages)
    }


def launches(thunks: str, compiled: dict[str, dict]) -> Iterator[dict]:
    """Launches in XLA's list of thunks; static and dynamic shared memory are added."""
    unknown = {"registers": "?", "spilled": "?", "shared": 0}
    for launch in LAUNCH.finditer(thunks):
        sizes = lambda name, launch=launch: [int(n) for n in launch[name].split(",")]
        kernel = compiled.get(launch["kernel"], unknown)
        yield {
            "kernel": launch["kernel"],
            "grid": sizes("grid"),
            "threads": int(np.prod(sizes("threads"))),
            **kernel,
            "shared": kernel["shared"] + int(launch["shared"]),
        }


def mosaic_launch(module: str, compiled: dict[str, dict]) -> dict:
    """The launch in Mosaic's module, with the only kernel that was assembled from it."""
    launch, ((name, kernel),) = MOSAIC.search(module), compiled.items()
    sizes = lambda key: [int(n) for n in re.findall(r"= %c(\d+)", launch[key])]
    return {
        "kernel": name,
        "grid": sizes("grid"),
        "threads": int(np.prod(sizes("threads"))),
        **kernel,
        "shared": kernel["shared"] + int(launch["shared"]),
    }


if __name__ == "__main__":
    sys.exit(main())
