"""panorax show: one entry with its docstring, parts, options, and claims beside measured values."""

from panorax import catalogue
from panorax.commands import experiment, tables
from panorax.core import config


def add(commands) -> None:
    sub = commands.add_parser(
        "show",
        "one system: paper, equation, parts, options, claims with measured values, oracle, tests",
    )
    sub.add_argument("system", help="an entry of `panorax list`, such as lm/llama")


def main(args) -> int:
    from panorax.core.claims import Verdict

    entry = catalogue.find(args.system)
    _, module, cfg = experiment.load(entry.name)
    print(f"{entry.title}\n\n{entry.about}\n")
    facts = {
        "module": entry.module,
        "parts": ", ".join(entry.parts),
        "oracle": entry.literals.get("ORACLE", ""),
        "tests": ", ".join(entry.tests),
    }
    for name, text in facts.items():
        print(f"{name:8} {text}")
    print(f"\noptions of {entry.name}")
    options = config.leaves(cfg).items()
    tables.show(("option", "value"), [(f"  --{name}", str(value)) for name, value in options])
    print("\nclaims")
    result = entry.result() or {}
    claims = [Verdict(**v) for v in result.get("claims", ())] or [
        claim.check({}) for claim in getattr(module, "CLAIMS", ())
    ]
    for verdict in claims:
        print(f"  {verdict}")
    if result:
        where = {k: result[k] for k in ("commit", "device", "date", "wall_seconds", "seed")}
        print("  measured: " + ", ".join(f"{k} {v}" for k, v in where.items()))
    if entry.is_stale:
        print(
            "  stale: code that this run reaches has changed since; `make rerecord` measures again"
        )
    return 0
