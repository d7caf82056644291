"""panorax records: the recorded results, which of them are stale, and how to measure them again.

A record is stale if code that its run reaches has changed since it was measured
(`panorax.core.sources.digest`).
"""

import subprocess
import sys

from panorax import catalogue
from panorax.commands import experiment, tables
from panorax.core.errors import UserError


def add(commands) -> None:
    sub = commands.add_parser("records", "recorded results, and which of them are stale")
    sub.add_argument("names", nargs="*", metavar="NAME", help="entries; default: all with a record")
    action = sub.add_mutually_exclusive_group()
    action.add_argument(
        "--rerun",
        action="store_true",
        help="measure every stale result again and record it, the quickest first",
    )
    action.add_argument(
        "--judge",
        action="store_true",
        help="rewrite the verdicts from the recorded metrics, after claims have changed",
    )


def main(args) -> int:
    entries = recorded(args.names)
    if args.rerun:
        return rerun([entry for entry in entries if entry.is_stale])
    if args.judge:
        for entry in entries:
            judge(entry)
        return 0
    rows = [(entry.name, *_facts(entry.result(), entry.is_stale)) for entry in entries]
    tables.show(("record", "state", "commit", "seconds"), rows)
    return 0


def recorded(names: list[str]) -> list[catalogue.Entry]:
    """The entries with a record among `names`, all if there are no names.

    Raises UserError for a name without a record.
    """
    known = {e.name: e for e in (*catalogue.entries(), *catalogue.benchmarks()) if e.result()}
    for name in names:
        if name not in known:
            raise UserError(f"{name} has no record; `panorax records` shows all")
    return [known[name] for name in names or known]


def _facts(result: dict, stale: bool) -> tuple[str, str, str]:
    return "stale" if stale else "current", result["commit"], f"{result['wall_seconds']:.0f} s"


def rerun(entries: list[catalogue.Entry]) -> int:
    """Records every entry again, each in a process of its own; returns 1 if one failed, else 0.

    A process that ends without a current record has failed.

    Raises UserError if sources differ from the commit, which a record names.
    """
    from panorax.engine.provenance import commit

    if commit().endswith("+"):
        raise UserError("a record names its commit: commit the changed sources first")
    failed = []
    for entry in sorted(entries, key=lambda entry: entry.result()["wall_seconds"]):
        command = command_of(entry)
        print(f"panorax {' '.join(command)}", flush=True)
        done = subprocess.run([sys.executable, "-m", "panorax", *command])
        if done.returncode or entry.is_stale:
            failed.append(entry.name)
    print(f"{len(entries) - len(failed)} of {len(entries)} stale records measured again")
    for name in failed:
        print(f"failed: {name}")
    return 1 if failed else 0


def command_of(entry: catalogue.Entry) -> list[str]:
    """The arguments of `panorax` that measure an entry as its record was measured."""
    if entry.volume == catalogue.BENCH:
        return ["bench", entry.name, "--record"]
    mesh = entry.result().get("mesh", "data=1")
    return ["run", entry.name, "--record", *([] if mesh == "data=1" else ["--mesh", mesh])]


def judge(entry: catalogue.Entry) -> None:
    """Writes the verdicts of the current claims on the recorded metrics into the record.

    Raises UserError if the record lacks a metric that a claim names.
    """
    from panorax.core.claims import verdicts

    result = entry.result()
    claims = getattr(experiment.imported(entry), "CLAIMS", ())
    judged = verdicts(claims, result["metrics"])
    missing = [v["claim"] for v in judged if None in (v["measured"], v["bound"])]
    if missing:
        raise UserError(f"the record of {entry.name} lacks the metrics of the claim {missing[0]}")
    claimed = lambda verdicts: [(v["claim"], v["source"]) for v in verdicts]
    if claimed(judged) != claimed(result["claims"]):
        experiment.write(result | {"claims": judged}, entry.path.with_suffix(".json"))
