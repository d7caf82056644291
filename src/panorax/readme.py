"""The tables of README.md, written from the catalogue and the recorded results: `python -m panorax.readme`."""

import importlib
import re
from pathlib import Path

from panorax.bench.comparison import BENCHMARKS
from panorax.catalogue import CATALOGUE
from panorax.cli import result_of


def systems() -> str:
    """One row a config that has a result, or that is the first of its system."""
    lines = ["| command | what | measured | claims kept |", "|---|---|---|---|"]
    for entry in CATALOGUE:
        for name in entry.configs:
            result = result_of(name)
            if result or name == entry.configs[0]:
                lines.append(_system(name, result))
    return "\n".join(lines)


def _system(name, result):
    if not result:
        return f"| `panorax run {name}` | {_what(name)} | not yet | |"
    claims = result["claims"]
    measured = {v["claim"].split()[0]: v["measured"] for v in claims if v["measured"] is not None}
    shown = ", ".join(f"{metric} {value:.4g}" for metric, value in list(measured.items())[:2])
    return f"| `panorax run {name}` | {_what(name)} | {shown}; {result['wall_seconds']:.0f} s | {_kept(claims)} |"


def comparisons() -> str:
    """One row a comparison: every ratio of ours that was measured, its median."""
    lines = ["| command | what | times as fast as | claims kept |", "|---|---|---|---|"]
    for name in BENCHMARKS:
        result = result_of(name)
        ratios = [_ratio(row, result["rows"]) for row in (result or {"rows": ()})["rows"] if row["contender"].startswith("panorax")]
        shown = "; ".join(filter(None, ratios)) if result else "not yet"
        lines.append(f"| `panorax bench {name}` | {_what(name)} | {shown} | {_kept(result['claims']) if result else ''} |")
    return "\n".join(lines)


def _ratio(row, rows):
    """`CASE 2.1 x COMPETITOR`; nothing for the one that others are compared with."""
    other = next(r["contender"] for r in rows if r["case"] == row["case"] and r["ratio"]["lowest"] == r["ratio"]["highest"] == 1)
    how = row["contender"].removeprefix("panorax").removeprefix(", ")
    return None if other == row["contender"] else f"{row['case']}{f' ({how})' if how else ''} {row['ratio']['median']:.2f} x {other}"


def _what(name):
    return importlib.import_module("panorax.configs." + name.replace("/", ".")).__doc__.splitlines()[0].rstrip(".")


def _kept(claims):
    return f"{sum(v['kept'] for v in claims)} of {len(claims)}"


TABLES = {"systems": systems, "comparisons": comparisons}


def updated(text: str) -> str:
    """README text with its tables renewed."""
    for name, table in TABLES.items():
        start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        text = re.sub(f"{start}.*?{end}", lambda _: f"{start}\n{table()}\n{end}", text, flags=re.S)
    return text


if __name__ == "__main__":
    readme = Path(__file__).resolve().parents[2] / "README.md"
    readme.write_text(updated(readme.read_text()))
