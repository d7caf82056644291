"""panorax list: every system and study, with the state of its claims."""

import json

from panorax import catalogue


def add(commands) -> None:
    sub = commands.add_parser("list", "every system and study, with how its claims stand")
    sub.add_argument("--json", action="store_true", help="as JSON")


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
            }
        )
    if args.json:
        print(json.dumps(rows, indent=2))
        return 0
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        claims = (
            f"{row['kept']} of {row['claims']} claims kept" if row["claims"] else "not measured"
        )
        print(f"{row['name']:{width}}  {row['title']}; {claims}")
    return 0
