"""panorax bench: Panorax beside other libraries, or the speed of the training step of a system."""

import json

from panorax import catalogue
from panorax.commands import experiment, tables
from panorax.core.errors import UserError
from panorax.core.names import nearest


def add(commands) -> None:
    sub = commands.add_parser(
        "bench",
        "compare Panorax with other libraries, or time the training step of a system; "
        "without NAME it lists the comparisons",
    )
    sub.add_argument(
        "system",
        nargs="?",
        metavar="NAME",
        help="a comparison such as bench/training, or a system or config to time",
    )
    sub.add_argument(
        "--smoke",
        action="store_true",
        help="use the smallest size of a system, or the quick part of a comparison",
    )
    sub.add_argument("--repeats", type=int, default=5, help="number of timed chunks of a system")
    sub.add_argument(
        "--record", action="store_true", help="write the result of a comparison beside its config"
    )
    sub.add_argument(
        "--check",
        action="store_true",
        help="rerun the quick part of every comparison; "
        "fail if a recorded ratio dropped by more than a quarter",
    )
    sub.add_argument("--json", type=experiment.path, help="file to write the numbers to")


def main(args) -> int:
    if args.check:
        return _check()
    if args.system is None:
        rows = [(entry.name, entry.title) for entry in catalogue.benchmarks()]
        tables.show(("comparison", "title"), rows)
        return 0
    if comparison := _comparison(args.system):
        return _compare(comparison, args)
    if args.record:
        names = ", ".join(entry.name for entry in catalogue.benchmarks())
        raise UserError(f"--record is for comparisons: {names}")
    return _time_step(args)


def _comparison(name: str) -> catalogue.Entry | None:
    """The comparison `bench/NAME` or, if no system is called so, NAME; None for a system or a file.

    Raises UserError for an unknown name.
    """
    comparisons = {entry.name: entry for entry in catalogue.benchmarks()}
    if name in comparisons or name.endswith(".py"):
        return comparisons.get(name)
    try:
        catalogue.find(name)
    except UserError as error:
        short = f"{catalogue.BENCH}/{name.replace('-', '_')}"
        if short in comparisons:
            return comparisons[short]
        known = (*comparisons, *(n.partition("/")[2] for n in comparisons), *catalogue.names())
        raise UserError(
            f"unknown comparison or system {name!r}{nearest(name, known)}; `panorax bench` lists "
            "the comparisons, `panorax list` the systems"
        ) from error
    return None


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
    from panorax.core import claims

    if args.record and args.smoke:
        raise UserError(
            "--record with --smoke: the quick part of a comparison leaves claims unmeasured; "
            "leave out --smoke"
        )
    if args.record:
        experiment.check_recordable(entry.path)
    module = comparison.load(entry.name)
    cfg = module.quick() if args.smoke else module.get_config()
    table, result = comparison.measure(entry.name, module, cfg)
    print(table, claims.shown(result), sep="\n")
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")
    if args.record:
        experiment.record(result, entry.path.with_suffix(".json"))
    return 0


def _check() -> int:
    """Returns 1 if a recorded ratio dropped by more than a quarter, else 0.

    Comparisons that need a backend other than the CPU are skipped.
    """
    from panorax.bench import comparison

    lost = []
    for entry in catalogue.benchmarks():
        if entry.literals.get("BACKEND", "cpu") != "cpu":
            continue
        module, recorded = comparison.load(entry.name), entry.result()
        if recorded is None:
            raise UserError(
                f"{entry.name} has no recorded result to check against; "
                f"`panorax bench {entry.name} --record` makes one"
            )
        table, result = comparison.measure(entry.name, module, module.quick())
        print(table)
        lost += comparison.dropped(result, recorded)
    print(*(lost or ["no recorded ratio has dropped by more than a quarter"]), sep="\n")
    return 1 if lost else 0
