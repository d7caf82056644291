"""Atomic writes, write errors as one line, and JSON without NaN."""

import contextlib
import errno
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path

from panorax.core.errors import UserError

CANNOT_WRITE = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EFBIG,
    errno.EIO,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.EMFILE,
)


def replace(path: Path, text: str) -> None:
    """Writes a file atomically: under another name, then renamed."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)


def as_json(value, indent: int | None = None) -> str:
    """`value` as JSON text; numbers that are not finite become null."""

    def finite(x):
        if isinstance(x, dict):
            return {name: finite(y) for name, y in x.items()}
        if isinstance(x, (list, tuple)):
            return [finite(y) for y in x]
        return None if isinstance(x, float) and not math.isfinite(x) else x

    return json.dumps(finite(value), indent=indent, allow_nan=False)


@contextlib.contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Turns the OSError of a failed write (no space, no permission, ...) into UserError.

    A missing file is one if it is in `directory`, or if a parent of `directory` is missing.
    """
    try:
        yield
    except OSError as error:
        path, folder = str(error.filename), str(directory)
        is_here = path.startswith(folder) or folder.startswith(path)
        if error.errno not in CANNOT_WRITE and not (error.errno == errno.ENOENT and is_here):
            raise
        raise UserError(
            f"cannot write {error.filename or directory}: {error.strerror}; "
            "files written before are intact"
        ) from error
