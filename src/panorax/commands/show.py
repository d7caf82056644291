"""panorax show: one entry, with the docstring of its module, its parts, options, and claims beside the measured values."""

from panorax import catalogue
from panorax.commands import experiment
from panorax.core import config


def add(commands) -> None:
    sub = commands.add_parser(
        "show",
        "one system: paper, equation, parts, config, claims with measured values, oracle, tests",
    )
    sub.add_argument("system")


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
    print(f"\nconfig {entry.name}")
    for option, value in config.leaves(cfg).items():
        print(f"  --{option} {value}")
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
    return 0
