"""Byte-pair encoding: the most frequent pair of neighbouring tokens becomes a token, repeatedly.

Training starts from the words as bytes. It merges the pair with the largest count, the smallest ids
among equals, until the vocabulary is full. Encoding applies the merges to a word in the order in
which they were learnt.
Source: Sennrich et al. 2016, arXiv:1508.07909, algorithm 1; Radford et al. 2019 (bytes).
"""

import functools
import heapq
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from panorax.data.subwords import words

Pair = tuple[int, int]


@dataclass(frozen=True)
class BytePairs:
    """A vocabulary and its merges."""

    tokens: tuple[str, ...]
    """printable form of each token, by id"""
    merges: tuple[Pair, ...]
    """merged pairs, in the order of training"""

    @functools.cached_property
    def rank(self) -> dict[Pair, int]:
        """Position of each merge."""
        return {pair: i for i, pair in enumerate(self.merges)}

    @functools.cached_property
    def ids(self) -> dict[str, int]:
        """Id of each token."""
        return {token: i for i, token in enumerate(self.tokens)}

    def first(self, vocab_size: int) -> "BytePairs":
        """The encoding with the first tokens only, as if training had stopped there."""
        kept = [
            a for a in self.merges if self.ids[self.tokens[a[0]] + self.tokens[a[1]]] < vocab_size
        ]
        return BytePairs(self.tokens[:vocab_size], tuple(kept))

    def encode(self, text: str) -> list[int]:
        """Ids of a text."""
        of_word = functools.cache(self.encode_word)
        return [i for word in words.split(text) for i in of_word(word)]

    def encode_word(self, word: str) -> list[int]:
        """Ids of a word in printable form: the pair of lowest rank is merged until none is left."""
        word_ids = [self.ids[character] for character in word]
        while len(word_ids) > 1:
            pair = min(pairwise(word_ids), key=lambda pair: self.rank.get(pair, len(self.rank)))
            if pair not in self.rank:
                break
            word_ids = joined_pairs(
                word_ids, pair, self.ids[self.tokens[pair[0]] + self.tokens[pair[1]]]
            )
        return word_ids

    def decode(self, ids: Sequence[int]) -> bytes:
        """The bytes of ids."""
        return words.joined(self.tokens[i] for i in ids)


def train(texts: Iterable[str], vocab_size: int) -> BytePairs:
    """Byte-pair encoding of `vocab_size` tokens, the 256 bytes among them.

    It has fewer tokens if no pair is left. A heap holds the pairs by count; counts that changed
    since are corrected when they are popped.
    """
    if vocab_size < 256:
        raise ValueError(f"a vocabulary has at least the 256 bytes, got {vocab_size}")
    tokens = sorted(words.alphabet())
    ids = {token: i for i, token in enumerate(tokens)}
    counted = [([ids[c] for c in word], n) for word, n in words.counted(texts).items()]
    count, places = defaultdict(int), defaultdict(set)
    for place, (word, n) in enumerate(counted):
        for pair in pairwise(word):
            count[pair] += n
            places[pair].add(place)
    heap = [(-n, pair) for pair, n in count.items()]
    heapq.heapify(heap)
    merges = []
    while heap and len(tokens) < vocab_size:
        n, pair = heapq.heappop(heap)
        if -n != count[pair]:
            if count[pair] > 0:
                heapq.heappush(heap, (-count[pair], pair))
            continue
        token = tokens[pair[0]] + tokens[pair[1]]
        new = ids.setdefault(token, len(tokens))
        if new == len(tokens):
            tokens.append(token)
        merges.append(pair)
        grown = set()
        for place in places.pop(pair):
            word, n = counted[place]
            for old in pairwise(word):
                count[old] -= n
            counted[place] = word, n = joined_pairs(word, pair, new), n
            for current in pairwise(word):
                count[current] += n
                places[current].add(place)
                if new in current:
                    grown.add(current)
        for current in grown:
            heapq.heappush(heap, (-count[current], current))
    return BytePairs(tuple(tokens), tuple(merges))


def joined_pairs(word: list[int], pair: Pair, new: int) -> list[int]:
    """`word` with the token `new` in place of each `pair`, from left to right."""
    out, i = [], 0
    while i < len(word):
        is_pair = tuple(word[i : i + 2]) == pair
        out.append(new if is_pair else word[i])
        i += 2 if is_pair else 1
    return out
