"""Where the heads of an array lie in memory, how kernels load their tokens and mask their logits.

A GPU reads [B, T, H, K] in place: the tokens of a head are strided. A TPU moves tiles of the last
two axes, so the array is transposed to [B, H, T, K] first. On a GPU, a block has a power of two of
columns, at least 16, the smallest operand of its tensor cores. Loads fill columns behind K, queries
behind T and keys behind the row's length with zeros, and read nothing there.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from pallas_kernels.flash_attention.mask import (
    Form,
    Tokens,
    key_numbers,
    loop_bounds,
    query_numbers,
)
from pallas_kernels.launch import (
    Block,
    ceil_div,
    iota,
    load,
    one,
    part,
    power_of_2,
    scalars,
    store,
)

LOG2_E = 1.4426950408889634  # kernels compute 2^(x log2 e), the exponential that a GPU has


class Tiles(NamedTuple):
    """Sizes of a call, and of its blocks of queries and keys."""

    B: int
    T: int
    S: int
    H: int
    G: int
    K: int
    queries: int
    keys: int
    backend: str

    @property
    def on_tpu(self) -> bool:
        return self.backend.startswith("tpu")

    @property
    def width(self) -> int:
        """Columns of a block."""
        return self.K if self.on_tpu else max(16, power_of_2(self.K))

    @property
    def query_blocks(self) -> int:
        return ceil_div(self.T, self.queries)

    @property
    def key_blocks(self) -> int:
        return ceil_div(self.S, self.keys)

    @property
    def whole_T(self) -> int:
        """T rounded up to whole blocks."""
        return self.query_blocks * self.queries

    @property
    def whole_S(self) -> int:
        return self.key_blocks * self.keys

    def query_program(self, n):
        """(row, head, block of queries) of program n.

        Programs of a head follow each other; the last block, which sees the most keys of a causal
        mask, starts first.
        """
        b, h, i = split(n, self.B, self.H, self.query_blocks)
        return b, h, self.query_blocks - 1 - i

    def its_group(self, n):
        """(row, group, 0): where all keys of program n are, if it is one for queries."""
        b, h, _ = self.query_program(n)
        return b, jax.lax.div(h, jnp.int32(self.H // self.G)), 0

    def key_program(self, n):
        """(row, group, block of keys) of program n."""
        return split(n, self.B, self.G, self.key_blocks)

    def placed(self, x):
        """[B, T, H, K] as kernels read and write it; its own inverse."""
        return x.swapaxes(1, 2) if self.on_tpu else x

    def output(self, heads: int, tokens: int, dtype) -> jax.ShapeDtypeStruct:
        """Shape and dtype of an array [B, tokens, heads, K] as kernels write it."""
        shape = (self.B, tokens, heads, self.K)
        if self.on_tpu:
            shape = (self.B, heads, tokens, self.K)
        return jax.ShapeDtypeStruct(shape, dtype)

    def head(self, tokens: int, index) -> Block:
        """Block of tokens of one head, [tokens, width]; index: program -> (row, head, block)."""
        if self.on_tpu:
            return Block((None, None, tokens, self.width), lambda n: (*index(n), 0))
        place = lambda b, h, i: (b, i, h, 0)
        return Block((None, tokens, None, self.width), lambda n: place(*index(n)))

    def group(self, index) -> Block:
        """Block of all queries of a group of heads; index: program -> (row, group)."""
        R = self.H // self.G
        if self.on_tpu:
            return Block((None, R, self.whole_T, self.width), lambda n: (*index(n), 0, 0))
        place = lambda b, g: (b, 0, g, 0)
        return Block((None, self.whole_T, R, self.width), lambda n: place(*index(n)))

    def load(self, ref, i, size: int, rows=None, head: int | None = None) -> jax.Array:
        """Block i, [size, width], of the tokens of a reference; only its first `rows`, if given.

        head: which one of a group.
        """
        place = (part(i, size), slice(None))
        if head is not None:
            place = (head, *place) if self.on_tpu else (place[0], head, place[1])
        return load(ref, place, self._valid(size, rows))

    def store(self, ref, value, rows=None, i=0):
        """Writes block i of a reference, or the first `rows` of it; the converse of `load`."""
        size = len(value)
        store(ref, (part(i, size), slice(None)), value, self._valid(size, rows))

    def query_rows(self, i):
        """How many queries block i has, if not all of its rows."""
        return self.T - i * self.queries if self.T % self.queries else None

    def key_rows(self, j):
        """How many keys block j has, if not all of its rows."""
        return self.S - j * self.keys if self.S % self.keys else None

    def padded(self, x_BHT, fill):
        """Numbers of the queries, padded to whole blocks."""
        pads = ((0, 0), (0, 0), (0, self.whole_T - self.T))
        return jnp.pad(x_BHT, pads, constant_values=fill)

    def _valid(self, size: int, rows):
        shape = (size, self.width)
        valid = iota(shape, 1) < self.K if self.width != self.K else None
        if rows is None:
            return valid
        return iota(shape, 0) < rows if valid is None else valid & (iota(shape, 0) < rows)


def split(n, *sizes: int):
    """Indices of element n of an array of these sizes; the last one varies fastest."""
    indices = []
    for size in sizes[:0:-1]:
        indices.append(jax.lax.rem(n, jnp.int32(size)))
        n = jax.lax.div(n, jnp.int32(size))
    return (n, *indices[::-1])


def numbers(tokens: Tokens, form: Form, tiles: Tiles, program, over: str):
    """Numbers of the tokens for a kernel whose loop goes over blocks of "keys" or of "queries".

    program: n -> (row of the batch, head or group, block).
    Returns arrays and blocks of: the numbers of the program's own block as columns, those of all
    tokens of the other side as rows, and `steering`.
    """
    query = query_numbers(tokens, tiles.T, tiles.queries)
    key = key_numbers(tokens, tiles.S, tiles.keys)
    own, size, visited = query, tiles.queries, key.swapaxes(1, 2)
    if over == "queries":
        own, size, visited = key, tiles.keys, query.swapaxes(1, 2)
    of_own = lambda n: (shared_row(own, program(n)[0]), program(n)[2], 0)
    arrays, blocks = steering(tokens, form, tiles, program, over)
    blocks = [Block((None, size, own.shape[2]), of_own), all_of_row(visited, program), *blocks]
    return [own, visited, *arrays], blocks


def steering(tokens: Tokens, form: Form, tiles: Tiles, program, over: str):
    """Arrays and blocks of the bounds of loops, and of the slopes of ALiBi."""
    bounds = loop_bounds(tokens, form, tiles.T, tiles.S, tiles.queries, tiles.keys, over)
    slopes = jnp.zeros(tiles.H) if tokens.slopes_H is None else tokens.slopes_H
    slopes = slopes.astype(jnp.float32)[:, None]
    index = lambda n: (shared_row(bounds, program(n)[0]), 0, 0)
    blocks = [
        scalars((None, *bounds.shape[1:]), index, tiles.backend),
        scalars(slopes.shape, lambda n: (0, 0), tiles.backend),
    ]
    return [bounds, slopes], blocks


def all_of_row(x, program) -> Block:
    """Block of everything that an array has of the program's row of the batch."""
    return Block((None, *x.shape[1:]), lambda n: (shared_row(x, program(n)[0]), 0, 0))


def shared_row(x, row):
    """The row, or 0 if all rows of the batch share one."""
    return row if len(x) > 1 else 0


def column(ref, i, size: int):
    """Function of n: number n of the tokens of block i, [size, 1]."""
    return lambda n: ref[part(i, size), one(n)]


def row(ref, i, size: int):
    """Function of n: number n of the tokens of block i, [1, size]."""
    return lambda n: ref[one(n), part(i, size)]


def logits(product, form: Form, tokens: Tokens, query, key, slope, inside=None):
    """Logits in units of log 2, and the derivative of the soft cap (None without one).

    product: q k^T or k q^T of a block.  query, key: numbers of its tokens.
    inside: True for keys within the row's length; None if all pairs of the block are visible.
    """
    bend = None
    if form.cap is None:
        x = product * (form.scale * LOG2_E)
    else:
        t = jnp.tanh(product * (form.scale / form.cap))
        x, bend = t * (form.cap * LOG2_E), 1 - t * t
    if tokens.slopes_H is not None:
        x -= slope * LOG2_E * jnp.abs(query(0) - key(0)).astype(jnp.float32)
    if inside is None:
        return x, bend
    if form.causal:
        inside &= key(0) <= query(0)
    if tokens.window is not None:
        inside &= key(0) >= query(1)
    if tokens.q_segments_BT is not None:
        inside &= key(1) == query(2)
    return jnp.where(inside, x, -jnp.inf), bend


def over_blocks(bounds, i, step, carry):
    """The carry after `step(j, carry, masked)` for each block j that block i visits.

    First come the blocks that need a mask, on both sides of those that need none.
    """
    first, full, rest, last = (bounds[i, n] for n in range(4))
    before = full - first

    def masked(n, carry):
        return step(jnp.where(n < before, first + n, rest + n - before), carry, True)

    carry = jax.lax.fori_loop(0, before + last - rest, masked, carry)
    return jax.lax.fori_loop(full, rest, lambda j, carry: step(j, carry, False), carry)


def shifts(d_out, out, d_lse) -> jax.Array:
    """What the backward pass subtracts: ds = p (dout v^T - shift), float32 [B, H, T].

    shift = sum_k dout out - dlse, because the derivative of lse by a logit is p.
    """
    return jnp.einsum("BTHK,BTHK->BHT", d_out, out, preferred_element_type=jnp.float32) - d_lse


def base_2(lse: jax.Array) -> jax.Array:
    """lse in units of log 2; inf for a query without any key, so that p = 2^(-inf - inf) = 0."""
    return jnp.where(lse == -jnp.inf, jnp.inf, lse * LOG2_E)
