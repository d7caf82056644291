"""Compiles every TPU kernel for a TPU v5e on a CPU.

    make tpu-check       installs XLA's compiler for TPU, runs this

Compiles each real case of each operation of `pallas_kernels` with its gradients, and prints the
bytes of its temporaries in HBM. A case that a kernel refuses, by NotImplementedError, or that needs
more than the 16 GB of this TPU, is listed with the reason. Exits with 1 if a case does not compile.
"""

import argparse
import sys

import target

from pallas_kernels import operations
from pallas_kernels.operation import Case, Operation

TOO_LARGE = "CompileTimeHbmOom"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="text in the names of the checked operations")
    only = parser.parse_args().only
    device, *_ = target.tpu()
    failed = 0
    for name, operation in operations().items():
        if only in name and "tpu" in operation.implementations:
            for case in operation.cases:
                if case.size == "gpu":
                    said, is_failure = check(operation, case, device)
                    print(f"{name}, {case.name}: {said}", flush=True)
                    failed += is_failure
    print(f"{failed} programs failed")
    return 1 if failed else 0


def check(operation: Operation, case: Case, device) -> tuple[str, bool]:
    """What became of the case, and whether that is a failure."""
    try:
        program = target.lowered(operation, case, "tpu", device).compile()
    except NotImplementedError as error:
        return f"refused: {error}", False
    except Exception as error:  # the check reports whatever a compiler raises
        line = str(error).splitlines()[0]
        return f"failed: {type(error).__name__}: {line}", TOO_LARGE not in line
    return f"{program.memory_analysis().temp_size_in_bytes:,} bytes of temporaries", False


if __name__ == "__main__":
    sys.exit(main())
