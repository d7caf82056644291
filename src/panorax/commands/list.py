"""panorax list: every system and study, with the number of its kept claims."""

import json

from panorax import catalogue
from panorax.commands import tables


def add(commands) -> None:
    sub = commands.add_parser("list", "every system and study, with the number of kept claims")
    sub.add_argument("--json", action="store_true", help="print JSON")


def main(args) -> int:
    rows = []
    for entry in catalogue.entries():
        claims = (entry.result() or {}).get("claims", ())
        rows.append(
            {
                "name": entry.name,
                "title": entry.title,
                "claims": len(claims),
                "kept": sum(v["kept"] for v in claims),
                "stale": entry.is_stale,
            }
        )
    if args.json:
        print(json.dumps(rows, indent=2))
        return 0
    stale = lambda row: ", stale" if row["stale"] else ""
    claims = lambda row: f"{row['kept']} of {row['claims']} claims kept{stale(row)}"
    tables.show(
        ("name", "title", "claims"),
        [
            (row["name"], row["title"], claims(row) if row["claims"] else "not measured")
            for row in rows
        ],
    )
    return 0
