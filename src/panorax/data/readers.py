"""Readers of users' files.

Each reader raises UserError with one line that names the file and the accepted format.
"""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from panorax.core.errors import UserError

TOKENS = (".npy", ".npz", ".bin", ".pt", ".safetensors")
"""suffixes of files that usually hold token ids or weights"""
TRAIN, HELD_OUT = ("train", "training"), ("val", "valid", "validation", "dev", "test")
"""names, without suffix, of the parts of a split corpus"""


def read_tokens(path: str) -> np.ndarray:
    """A tokenised corpus of any size: a memory-mapped 1-D integer array from an `.npy` file."""
    tokens = _load_numpy(Path(path), ".npy", mmap_mode="r")
    if tokens.ndim != 1 or not np.issubdtype(tokens.dtype, np.integer):
        array = f"{tokens.dtype} of shape {tokens.shape}"
        raise UserError(f"{path} must hold a 1-D integer array, but holds {array}")
    return tokens


def read_arrays(path: str, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The named arrays of an `.npz` file, which must agree in the length of their first axis."""
    with _load_numpy(Path(path), ".npz") as archive:
        missing = [name for name in names if name not in archive]
        if missing:
            needed, present = ", ".join(names), ", ".join(archive) or "none"
            raise UserError(
                f"{path} has no array {missing[0]!r}; needed: {needed}; present: {present}"
            )
        try:
            arrays = {name: archive[name] for name in names}
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{path} cannot be read as .npz: {reason}") from error
    lengths = {name: a.shape[:1] for name, a in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise UserError(f"{path}: the arrays differ in their first axis: {lengths}")
    return arrays


def _load_numpy(path: Path, suffix: str, **options):
    if not path.is_file():
        raise UserError(f"data file {path} does not exist")
    if path.suffix != suffix:
        raise UserError(f"{path} must be a {suffix} file")
    if suffix == ".npz" and not zipfile.is_zipfile(path):
        raise UserError(f"{path} cannot be read as .npz: not a zip archive, or truncated")
    try:
        return np.load(path, allow_pickle=False, **options)
    except (ValueError, OSError, EOFError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} cannot be read as {suffix}: {reason}") from error


def read_object(path: Path, optional: bool = False) -> dict:
    """The object in a JSON file. If `optional`, a missing file reads as an empty object."""
    if optional and not path.exists():
        return {}
    if not path.is_file():
        raise UserError(f"{path.parent} has no {path.name}")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        json.dumps(value, ensure_ascii=False).encode()  # lone surrogates would break tokenizers
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} does not hold a JSON object")
    return value


def read_documents(path: str) -> list[str]:
    """Texts of a UTF-8 file, or of all files below a folder in the order of their names.

    Each line of a .jsonl file is the document in its field "text". Empty files are skipped, and in
    a folder files and folders whose name starts with a dot. Raises UserError if the path is
    missing, has no text, or has a file that is not UTF-8 text.
    """
    texts = [text for _, text in _texts(Path(path)) if text.strip()]
    if not texts:
        raise UserError(f"{path} holds no text")
    return texts


def _texts(path: Path) -> Iterator[tuple[Path, str]]:
    if not path.exists():
        raise UserError(f"data path {path} does not exist")
    visible = (
        p
        for p in path.rglob("*")
        if p.is_file() and not any(part.startswith(".") for part in p.relative_to(path).parts)
    )
    for file in [path] if path.is_file() else sorted(visible):
        if file.suffix in TOKENS:
            raise UserError(
                f"{file} is a {file.suffix} file, and token ids are not read, because they lack "
                'their tokenizer: give UTF-8 text, or .jsonl lines with a field "text"'
            )
        try:
            text = file.read_text(encoding="utf-8-sig")  # without a byte order mark
            if file.suffix == ".jsonl":
                yield from ((file, line) for line in _lines(file, text))
            else:
                yield file, text
        except UnicodeDecodeError as error:
            raise UserError(f"{file} is not UTF-8 text (byte {error.start})") from error
        except OSError as error:
            raise UserError(f"{file} cannot be read: {error.strerror}") from error


def _lines(file: Path, text: str) -> Iterator[str]:
    """The field "text" of each line of a .jsonl file."""
    # str.splitlines would also split at characters that JSON strings may contain.
    for n, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                document = json.loads(line)["text"] + ""
                document.encode()  # raises UnicodeEncodeError for half of a surrogate pair
                yield document
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise UserError(f'{file}, line {n}: expected {{"text": text}}') from error


def split_folder(path: str) -> tuple[str, str] | None:
    """The training and held-out parts of a folder with files such as train.txt and val.txt.

    None for any other path. Subfolders of these names count too. Of several held-out parts, the
    first of HELD_OUT is used, so that a test part stays unread beside a validation part.
    """
    parts = {p.stem.lower(): p for p in sorted(Path(path).iterdir())} if Path(path).is_dir() else {}
    train, held_out = (
        next((str(parts[name]) for name in names if name in parts), None)
        for names in (TRAIN, HELD_OUT)
    )
    return (train, held_out) if train and held_out else None
