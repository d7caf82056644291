"""Words before merging: the pieces of a text that no token crosses, as bytes in printable form.

A text is split by GPT-2's pattern: English contractions, letters, numbers and other characters,
each with at most one space before it, and white space. Every byte is then written as a printable
character, so that a token is a string.
Source: Radford et al. 2019, "Language models are unsupervised multitask learners".
"""

import functools
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable
from itertools import groupby

SPACE = "\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""Unicode's white space, as the inside of a character class"""


@functools.cache
def pattern() -> re.Pattern:
    """GPT-2's pattern, with Unicode's classes of letters and numbers."""
    letter, number = _classes()
    return re.compile(
        "'(?:[sdmt]|ll|ve|re)"
        f"| ?[{letter}]+| ?[{number}]+| ?[^{SPACE}{letter}{number}]+"
        f"|[{SPACE}]+(?![^{SPACE}])|[{SPACE}]+"
    )


@functools.cache
def alphabet() -> tuple[str, ...]:
    """The character of each byte: itself if Latin-1 prints it, else the next from U+0100 on."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return tuple(chr(byte if byte in printable else next(others)) for byte in range(256))


def split(text: str) -> list[str]:
    """The words of `text` in printable form."""
    return [_printed(word) for word in pattern().findall(text)]


def counted(texts: Iterable[str]) -> Counter[str]:
    """How often each word occurs in `texts`."""
    counts = Counter()
    for text in texts:
        counts.update(pattern().findall(text))
    return Counter({_printed(word): n for word, n in counts.items()})


def joined(tokens: Iterable[str]) -> bytes:
    """The bytes of printable tokens."""
    byte_of = {character: byte for byte, character in enumerate(alphabet())}
    return bytes(byte_of[character] for token in tokens for character in token)


def text_of(data: bytes) -> str:
    """Any bytes as a text that `split` takes: bytes that are not UTF-8 become lone surrogates."""
    return data.decode("utf-8", "surrogateescape")


def _printed(word: str) -> str:
    characters = alphabet()
    return "".join(characters[byte] for byte in word.encode("utf-8", "surrogateescape"))


def _classes() -> tuple[str, str]:
    """The letters and the numbers of Unicode, as ranges inside a character class."""
    ranges = {"L": [], "N": []}
    points = range(sys.maxunicode + 1)
    for initial, run in groupby(points, lambda point: unicodedata.category(chr(point))[0]):
        if initial in ranges:
            first, *rest = run
            ranges[initial].append(f"{chr(first)}-{chr(rest[-1] if rest else first)}")
    return "".join(ranges["L"]), "".join(ranges["N"])
