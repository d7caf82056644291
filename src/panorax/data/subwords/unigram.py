"""The unigram model of subwords: tokens are independent, and a word is its most probable split.

    p(word) = sum over splits into tokens of prod_i p(token_i)

Training starts from frequent substrings. Expectation maximisation fits the probabilities; then the
tokens whose removal costs the least likelihood are removed, until the vocabulary has its size.
Source: Kudo 2018, arXiv:1804.10959, section 3.2.
"""

import functools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from panorax.data.subwords import words

LONGEST = 16  # largest number of bytes of a token
SEEDS = 8  # substrings at the start, as a multiple of the vocabulary
KEPT = 0.75  # share of the tokens that a round of removals keeps
STEPS = 2  # EM steps per round

LogProbs = dict[str, float]


@dataclass(frozen=True)
class Unigram:
    """A vocabulary with probabilities."""

    tokens: tuple[str, ...]
    """printable form of each token, by id"""
    log_p: tuple[float, ...]
    """log probability of each token, in nats"""

    @functools.cached_property
    def ids(self) -> dict[str, int]:
        """Id of each token."""
        return {token: i for i, token in enumerate(self.tokens)}

    def encode(self, text: str) -> list[int]:
        """Ids of the most probable split of each word of a text."""
        log_p = dict(zip(self.tokens, self.log_p, strict=True))
        of_word = functools.cache(lambda word: [self.ids[x] for x in best_split(word, log_p)])
        return [i for word in words.split(text) for i in of_word(word)]

    def decode(self, ids: Sequence[int]) -> bytes:
        """The bytes of ids."""
        return words.joined(self.tokens[i] for i in ids)

    def in_library(self):
        """The same model as a `Tokenizer` of the `tokenizers` library."""
        from tokenizers import Tokenizer, models, pre_tokenizers

        pieces = [*zip(self.tokens, self.log_p, strict=True)]
        library = Tokenizer(models.Unigram(pieces, None, False))
        library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        return library


def fit(texts: Iterable[str], vocab_size: int) -> tuple[Unigram, list[list[float]]]:
    """The unigram model of at most `vocab_size` tokens, all bytes among them, and its EM steps.

    The second result has a list per round of removals: the log likelihoods of its EM steps in nats
    per byte. Those of a round rise.
    """
    if vocab_size < 256:
        raise ValueError(f"a vocabulary has at least the 256 bytes, got {vocab_size}")
    counts = words.counted(texts)
    log_p, history = seed_tokens(counts, SEEDS * vocab_size), []
    size = sum(n * len(word) for word, n in counts.items())
    while True:
        history.append([])
        for _ in range(STEPS):
            expected, total = expected_counts(counts, log_p)
            history[-1].append(total / size)
            log_p = maximised(expected)
        if len(log_p) <= vocab_size:
            ordered = sorted(log_p.items(), key=lambda item: (-item[1], item[0]))
            return Unigram(*zip(*ordered, strict=True)), history
        log_p = pruned(counts, log_p, max(vocab_size, int(KEPT * len(log_p))))


def seed_tokens(counts: Mapping[str, int], size: int) -> LogProbs:
    """Log frequencies of all bytes, and of the `size` substrings of largest count x length."""
    substrings = Counter()
    for word, n in counts.items():
        for start in range(len(word)):
            for end in range(start + 2, min(start + LONGEST, len(word)) + 1):
                substrings[word[start:end]] += n
    covered = lambda item: (item[1] * len(item[0]), item[0])
    repeated = sorted((item for item in substrings.items() if item[1] > 1), key=covered)
    chosen = dict(repeated[::-1][:size])
    return maximised(bytes_of(counts) | chosen)


def bytes_of(counts: Mapping[str, int]) -> dict[str, float]:
    """How often each of the 256 bytes occurs; at least a small number, so that all texts split."""
    found = dict.fromkeys(words.alphabet(), 1e-3)
    for word, n in counts.items():
        for character in word:
            found[character] += n
    return found


def maximised(expected: Mapping[str, float]) -> LogProbs:
    """The M step: log of the relative frequencies.

    Tokens without expected uses are dropped, except bytes; all others count at least 1e-3 times.
    """
    frequency = {
        token: max(n, 1e-3) for token, n in expected.items() if n > 1e-9 or len(token) == 1
    }
    log_total = math.log(sum(frequency.values()))
    return {token: math.log(n) - log_total for token, n in frequency.items()}


def expected_counts(counts: Mapping[str, int], log_p: LogProbs) -> tuple[dict[str, float], float]:
    """The E step: expected uses of each token over all splits, and the log likelihood.

    Forward and backward sums over the places between the bytes of a word, as logarithms.
    """
    expected, total = dict.fromkeys(log_p, 0.0), 0.0
    for word, n in counts.items():
        edges = _edges(word, log_p)
        into, out = ([[] for _ in range(len(word) + 1)] for _ in range(2))
        for start, end, token in edges:
            into[end].append((start, log_p[token]))
            out[start].append((end, log_p[token]))
        forward, backward = [0.0], [0.0] * (len(word) + 1)
        for arrivals in into[1:]:
            forward.append(_log_sum(forward[start] + x for start, x in arrivals))
        for start in reversed(range(len(word))):
            backward[start] = _log_sum(backward[end] + x for end, x in out[start])
        for start, end, token in edges:
            log_share = forward[start] + log_p[token] + backward[end] - forward[-1]
            expected[token] += n * math.exp(log_share)
        total += n * forward[-1]
    return expected, total


def best_split(word: str, log_p: Mapping[str, float], without: str | None = None) -> list[str]:
    """The most probable split of a word, by dynamic programming; `without` is not used."""
    best = [0.0] + [-math.inf] * len(word)
    last = [""] * (len(word) + 1)
    for start, end, token in _edges(word, log_p):
        if token != without and best[start] + log_p[token] > best[end]:
            best[end], last[end] = best[start] + log_p[token], token
    split, end = [], len(word)
    while end:
        split.append(last[end])
        end -= len(last[end])
    return split[::-1]


def pruned(counts: Mapping[str, int], log_p: LogProbs, size: int) -> LogProbs:
    """The `size` tokens whose removal would cost the most likelihood, and all bytes.

    A removed token is replaced, wherever the best splits use it, by its own best split.
    """
    uses = defaultdict(int)
    for word, n in counts.items():
        for token in best_split(word, log_p):
            uses[token] += n
    cost = lambda token: log_p[token] - sum(log_p[part] for part in best_split(token, log_p, token))
    longer = {token: uses[token] * cost(token) for token in log_p if len(token) > 1}
    kept = sorted(longer, key=lambda token: (longer[token], token), reverse=True)
    tokens = [*words.alphabet(), *kept[: size - 256]]
    log_total = _log_sum(log_p[token] for token in tokens)
    return {token: log_p[token] - log_total for token in tokens}


def _edges(word: str, tokens: Mapping[str, float]) -> list[tuple[int, int, str]]:
    """(start, end, token) of all tokens inside a word, by start."""
    return [
        (start, end, word[start:end])
        for start in range(len(word))
        for end in range(start + 1, min(start + LONGEST, len(word)) + 1)
        if word[start:end] in tokens
    ]


def _log_sum(terms: Iterable[float]) -> float:
    """log of the sum of exp(term)."""
    terms = [*terms]
    largest = max(terms)
    return largest + math.log(sum(math.exp(x - largest) for x in terms))
