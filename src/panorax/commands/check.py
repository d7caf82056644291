"""panorax check: hold a system or a study, also a user's own file, to the contract of the library."""

import time
import traceback

from panorax.commands import experiment
from panorax.core.errors import UserError


def add(commands) -> None:
    sub = commands.add_parser(
        "check", "hold a system, also one of your own file, to what every system here keeps"
    )
    sub.add_argument(
        "system", help="an entry such as lm/llama, or a Python file with get_config() and smoke()"
    )
    sub.add_argument("--only", help="one check by its name")


def main(args) -> int:
    name, module, _ = experiment.load(args.system, smoke=True)
    experiment.start_jax(8)
    from panorax.testing import contract

    checks = contract.of(module)
    if args.only and args.only not in checks:
        raise UserError(f"{name} has no check {args.only!r}; its checks are {', '.join(checks)}")
    failed = [
        check
        for check in ([args.only] if args.only else checks)
        if not _holds(check, checks[check])
    ]
    print(
        f"{name}: {len(failed)} of {len(checks)} checks failed"
        if failed
        else f"{name} keeps the contract"
    )
    return 1 if failed else 0


def _holds(name: str, check) -> bool:
    """Run one check and print how it went."""
    started = time.perf_counter()
    try:
        check()
    except Exception:  # a system of a user's own can fail in any way; the trace says where
        print(f"FAILED  {name}\n{traceback.format_exc()}", flush=True)
        return False
    print(f"ok      {name}  {time.perf_counter() - started:.1f} s", flush=True)
    return True
