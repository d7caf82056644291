"""Text corpora: documents without duplicates, split into training and held-out documents.

The default corpus comes with every Python installation: the sources of the standard library and the
language reference in `pydoc_data`.
"""

import hashlib
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path

from panorax.core.errors import UserError
from panorax.data.readers import read_documents, split_folder

SKIP = {
    "test",
    "tests",
    "idle_test",
    "site-packages",
    "dist-packages",
    "pydoc_data",
    "encodings",
    "__pycache__",
}


@dataclass(frozen=True)
class Corpus:
    """Training documents and held-out documents, which are disjoint."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]
    split: str = field(default="", compare=False)
    """source of the held-out text: its path, or its share of the text"""


def load(
    path: str | None,
    held_out: float,
    at_most: int | None = None,
    part: str = "all",
    held_out_path: str | None = None,
) -> Corpus:
    """Reads documents, removes duplicates, and holds out `held_out_path` or a share of the text.

    path: file or folder; None for the part `part` of the default corpus.
    held_out: share of the text that is held out if there is no held-out file.
    at_most: largest number of documents, of which the first are used; None for all.
    held_out_path: file or folder of the held-out documents, which are left out of training. By
    default a folder with files such as train.txt and val.txt is split into these files.
    For a share, documents are held out in the order of the SHA-256 of their text, independent of
    their names, and a single document is cut at a line end. Raises UserError if a path cannot be
    read, or if nothing is left to train on.
    """
    if path is not None and held_out_path is None:
        path, held_out_path = split_folder(path) or (path, None)
    documents = deduplicate((PARTS[part]() if path is None else read_documents(path))[:at_most])
    if held_out_path is not None:
        chosen = deduplicate(read_documents(held_out_path)[:at_most])
        train = [text for text in documents if text not in {*chosen}]
        if not train:
            raise UserError(f"all text of {path or part} is also in {held_out_path}")
        return Corpus(tuple(train), tuple(chosen), held_out_path)
    share = f"{held_out:.3g} of the text"
    if len(documents) == 1:
        text = documents[0]
        length = int(len(text) * (1 - held_out))
        cut = text.rfind("\n", 0, length) + 1 or length
        return Corpus((text[:cut],), (text[cut:],), share)
    ordered = sorted(documents, key=lambda text: hashlib.sha256(text.encode()).digest())
    target, characters, n = held_out * sum(map(len, ordered)), 0, 0
    while (characters < target or n == 0) and n < len(ordered) - 1:
        characters, n = characters + len(ordered[n]), n + 1
    return Corpus(tuple(ordered[n:]), tuple(ordered[:n]), share)


def sources() -> list[str]:
    """Sources of the standard library, without tests and tables of data."""
    root = Path(sysconfig.get_path("stdlib"))
    files = sorted(p for p in root.rglob("*.py") if not SKIP & set(p.relative_to(root).parts))
    texts = [p.read_bytes().decode("utf-8", "ignore") for p in files]
    return [text for text in texts if text.strip()]


def reference() -> list[str]:
    """All topics of Python's language reference, in English."""
    from pydoc_data.topics import topics

    return [topics[name] for name in sorted(topics) if topics[name].strip()]


PARTS = {"all": lambda: sources() + reference(), "sources": sources, "reference": reference}


def deduplicate(documents: list[str]) -> list[str]:
    """Drops documents with at least half their text, by paragraph, in longer documents."""
    known: set[str] = set()
    kept = []
    for text in sorted(documents, key=len, reverse=True):
        paragraphs = [p.strip() for p in text.split("\n\n") if p.strip()]
        repeated = sum(len(p) for p in paragraphs if p in known)
        if 2 * repeated < sum(map(len, paragraphs)):
            kept.append(text)
            known.update(paragraphs)
    return kept
