"""Atomic writes, and write errors as one line."""

import contextlib
import errno
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
)


def replace(path: Path, text: str) -> None:
    """Writes a file atomically: under another name, then renamed."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(text)
    os.replace(beside, path)


@contextlib.contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Turns the OSError of a failed write (no space, no permission, ...) into UserError."""
    try:
        yield
    except OSError as error:
        if error.errno not in CANNOT_WRITE:
            raise
        raise UserError(
            f"cannot write {error.filename or directory}: {error.strerror}; "
            "files written before are intact"
        ) from error
