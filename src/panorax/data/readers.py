"""Readers for a user's own files. Each raises UserError with one line that names the file and what is accepted."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from panorax.core.errors import UserError


def read_tokens(path: str) -> np.ndarray:
    """A 1-D integer array from `.npy`, memory-mapped: a tokenised corpus of any size."""
    tokens = _load_numpy(Path(path), (".npy",), mmap_mode="r")
    if tokens.ndim != 1 or not np.issubdtype(tokens.dtype, np.integer):
        raise UserError(
            f"{path}: a 1-D integer array is needed, this is {tokens.dtype} of shape {tokens.shape}"
        )
    return tokens


def read_arrays(path: str, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The named arrays of an `.npz` file, all with the same first axis."""
    with _load_numpy(Path(path), (".npz",)) as archive:
        missing = [name for name in names if name not in archive]
        if missing:
            raise UserError(
                f"{path} has no array {missing[0]!r}; needed: {', '.join(names)}; it has: {', '.join(archive) or 'none'}"
            )
        arrays = {name: archive[name] for name in names}
    lengths = {name: a.shape[:1] for name, a in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise UserError(f"{path}: the arrays differ in their first axis: {lengths}")
    return arrays


def _load_numpy(path: Path, suffixes: tuple[str, ...], **options):
    if not path.is_file():
        raise UserError(f"data file {path} does not exist")
    if path.suffix not in suffixes:
        raise UserError(f"{path}: a {' or '.join(suffixes)} file is needed")
    if path.suffix == ".npz" and not zipfile.is_zipfile(path):
        raise UserError(f"{path} cannot be read as .npz: it is no zip archive, or is cut short")
    try:
        return np.load(path, allow_pickle=False, **options)
    except (ValueError, OSError, EOFError) as error:
        raise UserError(
            f"{path} cannot be read as {path.suffix}: {str(error).splitlines()[0]}"
        ) from error


def read_object(path: Path, optional: bool = False) -> dict:
    """The object that a JSON file holds; with `optional`, an empty one where there is no file."""
    if optional and not path.exists():
        return {}
    if not path.is_file():
        raise UserError(f"{path.parent} has no {path.name}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        json.dumps(
            found, ensure_ascii=False
        ).encode()  # refuses halves of characters, which no tokenizer takes
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise UserError(f"{path} holds no JSON object")
    return found


def read_documents(path: str) -> list[str]:
    """Texts of a file, or of every file below a folder in the order of their names; UTF-8, empty files left out.

    Raises UserError for a path that is missing, has no text, or has a file that is not UTF-8.
    """
    texts = [text for _, text in _texts(Path(path)) if text.strip()]
    if not texts:
        raise UserError(f"{path} holds no text")
    return texts


def _texts(path: Path) -> Iterator[tuple[Path, str]]:
    if not path.exists():
        raise UserError(f"data path {path} does not exist")
    files = (
        [path]
        if path.is_file()
        else sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
    )
    for file in files:
        try:
            yield file, file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{file} is not UTF-8 text (byte {error.start})") from error
        except OSError as error:
            raise UserError(f"{file} cannot be read: {error.strerror}") from error
