"""What a language model must beat, on the same text in the same unit: a byte n-gram model and the best general-purpose compressor."""

import lzma

import numpy as np


def xz_bits_per_byte(train: bytes, held_out: bytes) -> float:
    """Bits per byte that `xz -9e` needs for the held-out text when it has just read the training text.

    |xz(train + held_out)| - |xz(train)| over the held-out bytes; the dictionary is made large enough to reach back over all of the training text.
    """
    filters = [
        {
            "id": lzma.FILTER_LZMA2,
            "preset": 9 | lzma.PRESET_EXTREME,
            "dict_size": max(64 << 20, len(train) + len(held_out)),
        }
    ]
    size = lambda data: len(lzma.compress(data, lzma.FORMAT_RAW, filters=filters))
    return 8 * (size(train + held_out) - size(train)) / len(held_out)


def ngram_bits_per_byte(train: bytes, held_out: bytes, order: int = 5) -> float:
    """Bits per byte of an interpolated n-gram model of bytes whose longest context is `order` bytes, with Witten-Bell smoothing.

    p_k(b | c) = (n(cb) + u(c) p_{k-1}(b | c')) / (n(c) + u(c)), where c is the context of the last k bytes, c' drops its first byte, n counts
    in the training text, u(c) is the number of distinct bytes seen after c, and p_{-1} = 1/256 (Witten & Bell 1991; Bell, Cleary & Witten 1990).
    """
    probability = np.full(len(held_out), 1 / 256)
    for k in range(order + 1):
        grams, counts = np.unique(_grams(train, k + 1), return_counts=True)
        contexts, first, distinct = np.unique(grams >> 8, return_index=True, return_counts=True)
        totals = np.add.reduceat(counts, first)
        asked = _grams(held_out, k + 1)
        n_gram, (n_context, u_context) = (
            _look_up(asked, grams, counts),
            (_look_up(asked >> 8, contexts, x) for x in (totals, distinct)),
        )
        seen = n_context > 0
        mixed = (n_gram + u_context * probability[k:]) / np.maximum(n_context + u_context, 1)
        probability[k:] = np.where(seen, mixed, probability[k:])
    return float(-np.mean(np.log2(probability)))


def _grams(text: bytes, n: int) -> np.ndarray:
    """Every run of n bytes as one integer, the last byte lowest (n at most 7)."""
    b = np.frombuffer(text, np.uint8).astype(np.int64)
    return sum(
        (b[i : len(b) - n + 1 + i] << 8 * (n - 1 - i) for i in range(n)),
        np.zeros(max(len(b) - n + 1, 0), np.int64),
    )


def _look_up(asked: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The value of each asked key, 0 where there is none; `keys` are sorted."""
    place = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.where(keys[place] == asked, values[place], 0)
