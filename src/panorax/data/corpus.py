"""Text to train on: documents, without repeats, split into training and held-out ones.

The default corpus is on every machine that runs Python: the standard library's own sources and the language reference of `pydoc_data`.
"""

import hashlib
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from panorax.data.readers import read_documents

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
    """Documents for training and held-out documents; none in both."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]


def load(
    path: str | None, held_out: float, at_most: int | None = None, part: str = "all"
) -> Corpus:
    """The user's file or folder, or this part of the default corpus where `path` is None; without repeats; about a share `held_out` (in bytes) kept apart.

    Of more than `at_most` documents the first are used. A document's side depends on its text alone (SHA-256), not on its neighbours or name. A single document is cut at a line end instead.
    """
    documents = deduplicate((PARTS[part]() if path is None else read_documents(path))[:at_most])
    if len(documents) == 1:
        text = documents[0]
        cut = text.rfind("\n", 0, int(len(text) * (1 - held_out))) + 1 or int(
            len(text) * (1 - held_out)
        )
        return Corpus((text[:cut],), (text[cut:],))
    ordered = sorted(documents, key=lambda text: hashlib.sha256(text.encode()).digest())
    wanted, taken, n = held_out * sum(map(len, ordered)), 0, 0
    while (taken < wanted or n == 0) and n < len(ordered) - 1:
        taken, n = taken + len(ordered[n]), n + 1
    return Corpus(tuple(ordered[n:]), tuple(ordered[:n]))


def sources() -> list[str]:
    """Sources of the standard library, tests and tables left out."""
    root = Path(sysconfig.get_path("stdlib"))
    files = sorted(p for p in root.rglob("*.py") if not SKIP & set(p.relative_to(root).parts))
    texts = [p.read_bytes().decode("utf-8", "ignore") for p in files]
    return [text for text in texts if text.strip()]


def reference() -> list[str]:
    """Every topic of Python's language reference, in English."""
    from pydoc_data.topics import topics

    return [topics[name] for name in sorted(topics) if topics[name].strip()]


PARTS = {"all": lambda: sources() + reference(), "sources": sources, "reference": reference}


def deduplicate(documents: list[str]) -> list[str]:
    """Documents most of whose paragraphs no longer one has: a copy, or a section that another document repeats, is dropped."""
    seen: set[str] = set()
    kept = []
    for text in sorted(documents, key=len, reverse=True):
        paragraphs = [p.strip() for p in text.split("\n\n") if p.strip()]
        repeated = sum(len(p) for p in paragraphs if p in seen)
        if 2 * repeated < sum(map(len, paragraphs)):
            kept.append(text)
            seen.update(paragraphs)
    return kept
