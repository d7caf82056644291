"""Records of users' files: lines of .jsonl files and rows of .parquet files, as objects by key."""

import json
from pathlib import Path
from typing import NamedTuple

from panorax.core.errors import UserError

SUFFIXES = (".jsonl", ".parquet")


class Record(NamedTuple):
    """One object of a file."""

    value: dict
    where: str
    """file and line, which begin the message of every error"""


def read_records(path: str) -> list[Record]:
    """The records of a file, or of all .jsonl and .parquet files below a folder by name.

    Empty lines are skipped. Parquet needs the extra `parquet`. Raises UserError, with the line, if
    the path is missing or holds no records, if a line is no JSON object, or if a file is damaged.
    """
    root = Path(path)
    if not root.exists():
        raise UserError(f"data path {path} does not exist")
    below = (p for p in sorted(root.rglob("*")) if p.suffix in SUFFIXES and p.is_file())
    files = [root] if root.is_file() else [*below]
    records = [record for file in files for record in _read(file)]
    if not records:
        raise UserError(f"{path} holds no records: give a .jsonl or .parquet file with some")
    return records


def _read(file: Path) -> list[Record]:
    if file.suffix not in SUFFIXES:
        raise UserError(f"{file} must be a .jsonl or .parquet file, or a folder of such files")
    try:
        return _rows(file) if file.suffix == ".parquet" else _lines(file)
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror or error}") from error


def _lines(file: Path) -> list[Record]:
    """The objects of a .jsonl file."""
    records = []
    # str.splitlines would also split at characters that JSON strings may contain.
    for n, line in enumerate(file.read_text(encoding="utf-8-sig").split("\n"), 1):
        if line.strip():
            where = f"{file}, line {n}"
            try:
                value = json.loads(line)
                json.dumps(value, ensure_ascii=False).encode()  # raises on half of a character
            except (ValueError, RecursionError) as error:
                raise UserError(f"{where}: no JSON object: {error}") from error
            if not isinstance(value, dict):
                raise UserError(f"{where}: expected a JSON object, got {type(value).__name__}")
            records.append(Record(value, where))
    return records


def _rows(file: Path) -> list[Record]:
    """The rows of a .parquet file, without the columns that are null in a row."""
    import pyarrow
    from pyarrow import parquet

    try:
        rows = parquet.read_table(file).to_pylist()
    except pyarrow.ArrowInvalid as error:
        raise UserError(f"{file} is no Parquet file: {str(error).splitlines()[0]}") from error
    present = lambda row: {key: x for key, x in row.items() if x is not None}
    return [Record(present(row), f"{file}, row {n}") for n, row in enumerate(rows, 1)]
