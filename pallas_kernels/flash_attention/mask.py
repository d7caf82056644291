"""Which keys a query attends to, and which blocks of keys a kernel visits.

A mask is never an array [T, S]. It follows from a few numbers of each token, its `Tokens`, so that
a kernel loads O(T + S) of them and compares. `loop_bounds` reduces the numbers to their range in
each block; from two ranges it follows that all, some or none of a block's pairs are visible.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from pallas_kernels.launch import ceil_div


class Form(NamedTuple):
    """The formula: logits are cap tanh(scale q k^T / cap), under a causal mask or not."""

    causal: bool
    scale: float
    cap: float | None = None
    lse: bool = True
    """True if the caller reads the log-sum-exp: the reference computes it by another pass"""


class Tokens(NamedTuple):
    """Numbers of queries and keys from which masks and ALiBi follow; B may be 1 in each array."""

    query_BT: jax.Array | None = None
    """positions of queries, int32; None for 0, 1, 2, ..."""
    key_BS: jax.Array | None = None
    """positions of keys"""
    window: int | jax.Array | None = None
    """a causal query sees the keys at its last `window` positions; None for all"""
    lengths_B: jax.Array | None = None
    """number of keys; those behind it are padding"""
    q_segments_BT: jax.Array | None = None
    """a query sees the keys of its own segment"""
    k_segments_BS: jax.Array | None = None
    """segments of the keys"""
    slopes_H: jax.Array | None = None
    """ALiBi: the logit of a query and a key decreases by slope * |distance|"""

    def placed(self, q_BTHK, k_BSGK) -> "Tokens":
        """The same with the positions of all queries and keys."""
        query, key = (
            jnp.arange(x.shape[1], dtype=jnp.int32)[None] if given is None else given
            for given, x in ((self.query_BT, q_BTHK), (self.key_BS, k_BSGK))
        )
        return self._replace(query_BT=query, key_BS=key)


def visible(tokens: Tokens, causal: bool) -> jax.Array:
    """True if the query may attend to the key, [B, T, S]; B may be 1."""
    query, key = tokens.query_BT[:, :, None], tokens.key_BS[:, None, :]
    shape = jnp.broadcast_shapes(query.shape, key.shape)
    mask = key <= query if causal else jnp.full(shape, True)
    if tokens.window is not None:
        mask &= key > query - tokens.window
    if tokens.lengths_B is not None:
        mask &= (jnp.arange(key.shape[2])[None] < tokens.lengths_B[:, None])[:, None]
    if tokens.q_segments_BT is not None:
        mask &= tokens.q_segments_BT[:, :, None] == tokens.k_segments_BS[:, None, :]
    return mask


def within_lengths(x_BSGK: jax.Array, tokens: Tokens) -> jax.Array:
    """x with zeros in place of padded keys, even of NaN."""
    if tokens.lengths_B is None:
        return x_BSGK
    kept_BS = jnp.arange(x_BSGK.shape[1])[None] < tokens.lengths_B[:, None]
    return jnp.where(kept_BS[:, :, None, None], x_BSGK, 0)


def query_numbers(tokens: Tokens, T: int, multiple: int) -> jax.Array:
    """Position, oldest visible position and segment of each query, int32 [B, T', 3].

    T' is T rounded up to a multiple; padded queries repeat the last one, so that they change the
    range of no block.
    """
    position = tokens.query_BT
    oldest = position * 0 if tokens.window is None else position - tokens.window + 1
    segment = position * 0 if tokens.q_segments_BT is None else tokens.q_segments_BT
    return _stacked((position, oldest, segment), T, multiple)


def key_numbers(tokens: Tokens, S: int, multiple: int) -> jax.Array:
    """Position and segment of each key, int32 [B, S', 2]; padded like queries."""
    position = tokens.key_BS
    segment = position * 0 if tokens.k_segments_BS is None else tokens.k_segments_BS
    return _stacked((position, segment), S, multiple)


def loop_bounds(
    tokens: Tokens, form: Form, T: int, S: int, queries: int, keys: int, over: str
) -> jax.Array:
    """For each block, the blocks of the other side that its loop visits, int32 [B, N, 5].

    queries, keys: tokens of a block.
    over: "keys" for loops of a block of queries over blocks of keys, "queries" for the converse.
    The five numbers are (first, full, rest, last, length): blocks first .. last - 1 have visible
    pairs, and in full .. rest - 1 of them every pair is visible, so that these need no mask.
    length is the number of keys of the row.
    """
    query = _ranges(query_numbers(tokens, T, queries), queries)
    key = _ranges(key_numbers(tokens, S, keys), keys)
    q_least, q_most = (x[:, :, None] for x in query)
    k_least, k_most = (x[:, None] for x in key)
    B = max(len(x) for x in (*query, *key, *_present(tokens.lengths_B)))
    length = jnp.broadcast_to(S if tokens.lengths_B is None else tokens.lengths_B, (B,))
    start = jnp.arange(ceil_div(S, keys))[None] * keys
    some = (start < length[:, None])[:, None]
    every = (start + keys <= length[:, None])[:, None]
    if form.causal:
        some &= k_least[..., 0] <= q_most[..., 0]
        every &= k_most[..., 0] <= q_least[..., 0]
    if tokens.window is not None:
        some &= k_most[..., 0] >= q_least[..., 1]
        every &= k_least[..., 0] >= q_most[..., 1]
    if tokens.q_segments_BT is not None:
        some &= (k_least[..., 1] <= q_most[..., 2]) & (k_most[..., 1] >= q_least[..., 2])
        every &= (k_least[..., 1] == q_most[..., 2]) & (k_most[..., 1] == q_least[..., 2])
    shape = (B, q_least.shape[1], k_least.shape[2])
    some, every = (jnp.broadcast_to(x, shape) for x in (some, every & some))
    if over == "queries":
        some, every = some.swapaxes(1, 2), every.swapaxes(1, 2)
    return _runs(some, every, length[:, None])


def _runs(some, every, length):
    """First and last block with visible pairs, between them the first run of full blocks."""
    n = some.shape[-1]
    index = jnp.arange(n)[None, None]
    first = jnp.where(jnp.any(some, -1), jnp.argmax(some, -1), 0)
    last = jnp.max(jnp.where(some, index + 1, 0), -1)
    full = jnp.where(jnp.any(every, -1), jnp.argmax(every, -1), last)
    rest = jnp.min(jnp.where(~every & (index >= full[..., None]), index, n), -1)
    numbers = (first, full, jnp.clip(rest, full, last), last, jnp.broadcast_to(length, first.shape))
    return jnp.stack(numbers, -1).astype(jnp.int32)


def _ranges(x_BTn, size: int):
    """Least and largest number of each block of tokens."""
    B, T, n = x_BTn.shape
    blocks = x_BTn.reshape(B, T // size, size, n)
    return jnp.min(blocks, 2), jnp.max(blocks, 2)


def _stacked(numbers, T: int, multiple: int):
    B = max(x.shape[0] for x in numbers)
    rows = [jnp.broadcast_to(x, (B, T)).astype(jnp.int32) for x in numbers]
    return jnp.pad(jnp.stack(rows, -1), ((0, 0), (0, -T % multiple), (0, 0)), mode="edge")


def _present(*arrays):
    return [x for x in arrays if x is not None]
