"""The table of systems in README.md, written from the catalogue: `python -m panorax.readme`."""

import importlib
import re
from pathlib import Path

from panorax.catalogue import CATALOGUE
from panorax.cli import result_of

MARKS = ("<!-- systems -->", "<!-- end of systems -->")


def table() -> str:
    """One row a config that has a result, or that is the first of its system."""
    lines = ["| command | what | measured | claims kept |", "|---|---|---|---|"]
    for entry in CATALOGUE:
        for name in entry.configs:
            result = result_of(name)
            if result or name == entry.configs[0]:
                lines.append(_row(name, result))
    return "\n".join(lines)


def _row(name, result):
    what = importlib.import_module("panorax.configs." + name.replace("/", ".")).__doc__.splitlines()[0].rstrip(".")
    if not result:
        return f"| `panorax run {name}` | {what} | not yet | |"
    claims = result["claims"]
    measured = {v["claim"].split()[0]: v["measured"] for v in claims if v["measured"] is not None}
    shown = ", ".join(f"{metric} {value:.4g}" for metric, value in list(measured.items())[:2])
    return f"| `panorax run {name}` | {what} | {shown}; {result['wall_seconds']:.0f} s | {sum(v['kept'] for v in claims)} of {len(claims)} |"


def updated(text: str) -> str:
    """README text with its table renewed."""
    start, end = MARKS
    return re.sub(f"{start}.*?{end}", lambda _: f"{start}\n{table()}\n{end}", text, flags=re.S)


if __name__ == "__main__":
    readme = Path(__file__).resolve().parents[2] / "README.md"
    readme.write_text(updated(readme.read_text()))
