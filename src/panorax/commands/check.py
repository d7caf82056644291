"""panorax check: tests a system or a study of Panorax or of a user's file against the contract."""

import time
import traceback

from panorax.commands import experiment
from panorax.core.errors import UserError


def add(commands) -> None:
    sub = commands.add_parser(
        "check", "test a system or a study, of Panorax or your own, against the contract of all"
    )
    sub.add_argument(
        "system", help="an entry such as lm/llama, or a Python file with get_config() and smoke()"
    )
    sub.add_argument("--only", metavar="CHECK", help="name of the only check to run")


def main(args) -> int:
    name, module, _ = experiment.load(args.system, smoke=True)
    experiment.start_jax(8)
    from panorax.testing import contract

    checks = contract.of(module)
    if args.only and args.only not in checks:
        raise UserError(f"{name} has no check {args.only!r}; its checks are {', '.join(checks)}")
    selected = [args.only] if args.only else list(checks)
    failed = [check for check in selected if not _passes(check, checks[check])]
    if failed:
        print(f"{name}: {len(failed)} of {len(selected)} checks failed")
    else:
        print(f"{name} keeps the contract")
    return 1 if failed else 0


def _passes(name: str, check) -> bool:
    """Runs one check and prints its outcome."""
    started = time.perf_counter()
    try:
        check()
    except Exception:  # a user's system can fail in any way; the trace shows where
        print(f"FAILED  {name}\n{traceback.format_exc()}", flush=True)
        return False
    print(f"ok      {name}  {time.perf_counter() - started:.1f} s", flush=True)
    return True
