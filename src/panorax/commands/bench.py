"""panorax bench: Panorax beside other libraries, or the speed of the training step of a system."""

import json
from pathlib import Path

from panorax import catalogue
from panorax.commands import experiment
from panorax.core.errors import UserError


def add(commands) -> None:
    sub = commands.add_parser(
        "bench",
        "Panorax beside what people would use instead, or the training step of a system; alone it lists the comparisons",
    )
    sub.add_argument(
        "system",
        nargs="?",
        metavar="NAME",
        help="a comparison such as bench/training, or a system or config whose step is timed",
    )
    sub.add_argument(
        "--smoke",
        action="store_true",
        help="the smallest size of a system, the quick part of a comparison",
    )
    sub.add_argument("--repeats", type=int, default=5, help="chunks of a system timed")
    sub.add_argument(
        "--record", action="store_true", help="write the result of a comparison beside its config"
    )
    sub.add_argument(
        "--check",
        action="store_true",
        help="rerun the quick part of every comparison; fail where a recorded ratio dropped by more than a quarter",
    )
    sub.add_argument("--json", type=Path, help="write the numbers there")


def main(args) -> int:
    if args.check:
        return _check()
    if args.system is None:
        for entry in catalogue.benchmarks():
            print(f"{entry.name}  {entry.title}")
        return 0
    comparisons = {entry.name: entry for entry in catalogue.benchmarks()}
    if args.system in comparisons:
        return _compare(comparisons[args.system], args)
    if args.record:
        raise UserError(f"--record is for comparisons: {', '.join(comparisons)}")
    return _time_step(args)


def _time_step(args) -> int:
    from panorax.bench.step import bench_step

    experiment.start_jax()
    name, _, cfg = experiment.load(args.system, args.smoke)
    implementation = experiment.trainable(name, cfg, "time")
    result = bench_step(name, implementation.system(cfg), cfg.run, args.repeats)
    print(json.dumps(result, indent=2))
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0


def _compare(entry: catalogue.Entry, args) -> int:
    from panorax.bench import comparison
    from panorax.core.claims import Verdict

    if args.record and args.smoke:
        raise UserError(
            "the quick part of a comparison is not recorded: it leaves some claims unmeasured"
        )
    module = comparison.load(entry.name)
    table, result = comparison.measure(
        entry.name, module, module.quick() if args.smoke else module.get_config()
    )
    print(table, *(Verdict(**verdict) for verdict in result["claims"]), sep="\n")
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")
    if args.record:
        experiment.record(result, entry.path.with_suffix(".json"))
    return 0


def _check() -> int:
    """Exit code 1 if a recorded ratio is lost. Comparisons for another backend than this machine's are left out."""
    from panorax.bench import comparison

    lost = []
    for entry in catalogue.benchmarks():
        if entry.literals.get("BACKEND", "cpu") != "cpu":
            continue
        module, recorded = comparison.load(entry.name), entry.result()
        if recorded is None:
            raise UserError(
                f"{entry.name} has no recorded result to check against; `panorax bench {entry.name} --record` makes one"
            )
        table, result = comparison.measure(entry.name, module, module.quick())
        print(table)
        lost += comparison.dropped(result, recorded)
    print(*(lost or ["no recorded ratio has dropped by more than a quarter"]), sep="\n")
    return 1 if lost else 0
