"""Files written whole or not at all."""

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
    """Write a whole file or nothing: under another name first, then renamed."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(text)
    os.replace(beside, path)


@contextlib.contextmanager
def writing(directory: Path) -> Iterator[None]:
    """A disk that cannot be written is said in one line; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno not in CANNOT_WRITE:
            raise
        raise UserError(
            f"cannot write {error.filename or directory}: {error.strerror}; what was saved before is intact"
        ) from error
