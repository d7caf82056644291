"""Linear cross-entropy: the kernels.

A program computes the logits of BN tokens and BV classes on chip, as the tile z [BV, BN] = w^T x^T.
Statistics of a token are then rows [1, BN], the layout that both GPU and TPU write contiguously.
For the gradients the tiles write their logits too; what follows is elementwise, and XLA fuses it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from pallas_kernels.cross_entropy.formula import Options, Statistics
from pallas_kernels.launch import (
    EVERY,
    Block,
    ceil_div,
    dot,
    ds,
    iota,
    launch,
    load,
    power_of_2,
    program_id,
    store,
)
from pallas_kernels.soft_cap import soft_cap

VMEM = 2**23  # bytes of x and w that a TPU program holds, four times with copies and masks


class Tile(NamedTuple):
    """Sizes of the tile of a program."""

    N: int
    """tokens of all programs"""
    D: int
    """features"""
    V: int
    """classes of all programs"""
    BN: int
    """tokens of a program"""
    BV: int
    """classes of a program"""
    BD: int
    """features of a step of the product"""
    group: int
    """token blocks that follow each other, so that their programs share tiles of w in the cache"""

    @property
    def grid(self) -> tuple[int, int, int]:
        """Token block in its group, class block, group."""
        return self.group, ceil_div(self.V, self.BV), ceil_div(self.N, self.BN * self.group)

    def features(self) -> list[Block]:
        """Of x [N, D] and of w [D, V]: whole features, which the product visits in steps of BD."""
        features = ceil_div(self.D, self.BD) * self.BD
        return [
            Block((self.BN, features), lambda r, j, g: (g * self.group + r, 0)),
            Block((features, self.BV), lambda r, j, g: (0, j)),
        ]

    def row(self) -> Block:
        """Of an array [1, N]."""
        return Block((1, self.BN), lambda r, j, g: (0, g * self.group + r))

    def row_of_tile(self) -> Block:
        """Of an array [class blocks, 1, N]."""
        return Block((None, 1, self.BN), lambda r, j, g: (j, 0, g * self.group + r))

    def logits(self) -> Block:
        """Of an array [V, N]."""
        return Block((self.BV, self.BN), lambda r, j, g: (j, g * self.group + r))

    def tokens(self, axis: int) -> jax.Array:
        """Indices of the program's tokens along an axis of a matrix, [BN, 1] or [1, BN]."""
        block = program_id(2) * self.group + program_id(0)
        return block * self.BN + iota((1, self.BN) if axis else (self.BN, 1), axis)

    def classes(self, axis: int) -> jax.Array:
        """Indices of the program's classes along an axis of a matrix, [BV, 1] or [1, BV]."""
        return program_id(1) * self.BV + iota((1, self.BV) if axis else (self.BV, 1), axis)


def tile(x: jax.Array, w: jax.Array, backend: str) -> Tile:
    """On a GPU 128 x 128 logits, a step 128 bytes deep; on a TPU all features in one step.

    Raises NotImplementedError if the features of a TPU tile exceed VMEM.
    """
    (N, D), V = x.shape, w.shape[1]
    if backend.startswith("tpu"):
        blocks = VMEM // (128 * D * x.dtype.itemsize)  # of 128 tokens or classes
        if blocks < 2:
            raise NotImplementedError(f"a TPU tile of {D} features exceeds {VMEM} bytes")
        BN = 128 * min(2, blocks // 2, ceil_div(N, 128))
        BV, BD = min(4, blocks // 2, ceil_div(V, 128)) * 128, D
    else:
        BN, BV = (max(16, min(128, power_of_2(n))) for n in (N, V))
        BD = max(16, min(128 // x.dtype.itemsize, power_of_2(D)))
    group = next(n for n in (8, 4, 2, 1) if ceil_div(N, BN) % n == 0)
    return Tile(N, D, V, BN, BV, BD, group)


def _logits(x, w, at: Tile) -> jax.Array:
    """The tile of logits z [BV, BN] before the soft cap, from references to its x and w."""
    in_x, in_w = at.tokens(0) < at.N, at.classes(1) < at.V

    def step(k, z):
        first = k * at.BD
        here = ds(first, at.BD)
        valid_x = in_x & (first + iota((at.BN, at.BD), 1) < at.D)
        valid_w = in_w & (first + iota((at.BD, at.BV), 0) < at.D)
        part_x = load(x, (slice(None), here), valid_x)
        part_w = load(w, (here, slice(None)), valid_w)
        return z + dot(part_w, part_x, (0, 1))

    zeros = jnp.zeros((at.BV, at.BN), jnp.float32)
    return jax.lax.fori_loop(0, ceil_div(at.D, at.BD), step, zeros)


def statistics(x, w, labels, options: Options, backend: str) -> Statistics:
    """Sums over the logits of each token."""
    return _launched(x, w, labels, options, backend, logits=False)[1]


def logits_and_statistics(x, w, labels, options: Options, backend: str):
    """Logits z [N, V] before the cap, float32, and sums over those after it of each token."""
    [z_VN], of = _launched(x, w, labels, options, backend, logits=True)
    return z_VN.T, of


def _launched(x, w, labels, options: Options, backend: str, logits: bool):
    """Statistics, and a list of the logits [V, N] if they are written.

    Each tile writes its own sums, and XLA adds them up.
    """
    N, V = len(x), w.shape[1]
    number = lambda *shape: jax.ShapeDtypeStruct(shape, jnp.float32)
    if N == 0:
        return [jnp.zeros((V, 0))] * logits, Statistics(*(jnp.zeros(0),) * 3)
    at = tile(x, w, backend)

    def body(x, w, labels, highest, mass, picked, total, *logits):
        token, classes = at.tokens(1), at.classes(0)
        z, valid = _logits(x, w, at), classes < V
        capped = soft_cap(z, options.cap)
        label = load(labels, EVERY, token < N, -1)
        top = jnp.max(jnp.where(valid, capped, -jnp.inf), 0, keepdims=True)
        mass_of_tile = jnp.sum(jnp.where(valid, jnp.exp(capped - top), 0), 0, keepdims=True)
        store(highest, EVERY, top, token < N)
        store(mass, EVERY, mass_of_tile, token < N)
        hot = jnp.sum(jnp.where(valid & (classes == label), capped, 0), 0, keepdims=True)
        store(picked, EVERY, hot, token < N)
        store(total, EVERY, jnp.sum(jnp.where(valid, capped, 0), 0, keepdims=True), token < N)
        for z_of_tile in logits:
            store(z_of_tile, EVERY, z, valid & (token < N))

    highest, mass, picked, total, *z = launch(
        body,
        [x, w, labels[None]],
        [number(at.grid[1], 1, N)] * 4 + [number(V, N)] * logits,
        grid=at.grid,
        reads=[*at.features(), at.row()],
        writes=[at.row_of_tile()] * 4 + [at.logits()] * logits,
        backend=backend,
        name="cross_entropy",
        warps=8 if at.BN * at.BV > 64 * 64 else 4,
        stages=3,
        vmem=4 * VMEM,
    )
    highest, mass, picked, total = (part[:, 0] for part in (highest, mass, picked, total))
    top = jnp.max(highest, 0, keepdims=True)
    lse = top[0] + jnp.log(jnp.sum(mass * jnp.exp(highest - top), 0))
    return z, Statistics(lse, jnp.sum(picked, 0), jnp.sum(total, 0))
