"""Baselines of a language model on the same text, in bits per byte: an n-gram model and xz."""

import lzma

import numpy as np


def xz_bits_per_byte(train: bytes, held_out: bytes) -> float:
    """Bits per byte that `xz -9e` needs for the held-out text after the training text.

    The value is (|xz(train + held_out)| - |xz(train)|) / |held_out| in bits per byte. The LZMA
    dictionary covers both texts, so that matches reach back to the start of the training text.
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
    """Bits per byte of the held-out text under an interpolated byte n-gram model.

    The longest context is `order` bytes, and the smoothing is Witten-Bell:

        p_k(b | c) = (n(cb) + u(c) p_{k-1}(b | c')) / (n(c) + u(c)),   p_{-1} = 1/256,

    with c the last k bytes and c' the last k - 1. n counts occurrences in the training text, and
    u(c) is the number of distinct bytes after c. If n(c) = 0, then p_k = p_{k-1}.
    Source: Witten & Bell 1991; Bell, Cleary & Witten 1990.
    """
    probability = np.full(len(held_out), 1 / 256)
    for k in range(order + 1):
        grams, counts = np.unique(_grams(train, k + 1), return_counts=True)
        contexts, first, distinct = np.unique(grams >> 8, return_index=True, return_counts=True)
        totals = np.add.reduceat(counts, first)
        queries = _grams(held_out, k + 1)
        n_gram = _look_up(queries, grams, counts)
        n_context = _look_up(queries >> 8, contexts, totals)
        u_context = _look_up(queries >> 8, contexts, distinct)
        mixed = (n_gram + u_context * probability[k:]) / np.maximum(n_context + u_context, 1)
        probability[k:] = np.where(n_context > 0, mixed, probability[k:])
    return float(-np.mean(np.log2(probability)))


def _grams(text: bytes, n: int) -> np.ndarray:
    """Every n consecutive bytes as one integer, the last byte lowest (n at most 7)."""
    b = np.frombuffer(text, np.uint8).astype(np.int64)
    return sum(
        (b[i : len(b) - n + 1 + i] << 8 * (n - 1 - i) for i in range(n)),
        np.zeros(max(len(b) - n + 1, 0), np.int64),
    )


def _look_up(queries: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The value of each query among the sorted keys; 0 for a query that is no key."""
    place = np.minimum(np.searchsorted(keys, queries), len(keys) - 1)
    return np.where(keys[place] == queries, values[place], 0)
