"""Quantised matrices: how w [D, F] becomes codes of 8, 4 or 2 bits with scales.

A byte holds P = 8 / bits neighbours along D: byte [i, f] has the codes of w[P i, f], ...,
w[P i + P - 1, f], the first one in the highest bits. Products with x need no interleaving: the p-th
codes of all bytes meet the columns p, p + P, ... of x. Rows past D, which fill the last byte or
group, are quantised zeros: in the shapes below, D is rounded up to whole groups. A quantised matrix
is a pytree; `D` is static.

    format     code                           scale                                   bits a weight
    Int8       q, -127 to 127                 of a column: max |w| / 127              8 + 32 / D
    Int4       q + 8, q from -7 to 7          of a group in a column: max |w| / 7     4 + 32 / group
    NF4        index of a normal quantile     of 64 in a column: max |w|, in 8 bits   4.127
    Ternary    q + 1, -1 to 1                 of the matrix: mean |w|                 2 + 32 / (D F)
"""

import functools
from dataclasses import dataclass, field
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

NORMAL_FLOAT = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
    0.7229568362236023, 1.0,
)  # fmt: skip
"""NF4: quantiles of a normal distribution, of largest size 1 (QLoRA, appendix E)"""
BLOCK, NESTED = 64, 256
"""NF4: weights with one scale, and scales with one scale of their own"""


def dynamic_map() -> np.ndarray:
    """256 numbers in [-1, 1], ascending: an 8-bit float whose fraction is longer, the larger it is.

    For i = 0 .. 6 the decade that ends at 10^(i - 6) is cut into 2^i parts of [0.1, 1], whose
    midpoints occur with both signs; with them come 0 and 1 (8-bit Optimizers, section 2.1).
    """
    numbers = [0.0, 1.0]
    for i in range(7):
        edges = np.linspace(0.1, 1, 2**i + 1)
        midpoints = 10.0 ** (i - 6) * (edges[:-1] + edges[1:]) / 2
        numbers += [*midpoints, *-midpoints]
    return np.sort(np.asarray(numbers, np.float32))


@functools.partial(jax.tree_util.register_dataclass)
@dataclass(frozen=True)
class Int8:
    """w = codes scale: 8 bits, a scale for each column."""

    codes: jax.Array
    """int8 [D, F]"""
    scale: jax.Array
    """float32 [1, F]"""
    D: int = field(metadata={"static": True})
    """rows of w"""
    bits: ClassVar[int] = 8

    @property
    def scales(self) -> jax.Array:
        """Scale of each group of rows [D / group, F]."""
        return self.scale

    @staticmethod
    def value(code):
        """Number in units of the scale."""
        return code


@functools.partial(jax.tree_util.register_dataclass)
@dataclass(frozen=True)
class Int4:
    """w = (codes - 8) scale: 4 bits, a scale for each group of rows of a column."""

    codes: jax.Array
    """uint8 [D / 2, F]"""
    scale: jax.Array
    """float32 [D / group, F]"""
    D: int = field(metadata={"static": True})
    """rows of w"""
    bits: ClassVar[int] = 4

    @property
    def scales(self) -> jax.Array:
        """Scale of each group of rows [D / group, F]."""
        return self.scale

    @staticmethod
    def value(code):
        """Number in units of the scale."""
        return code - 8


@functools.partial(jax.tree_util.register_dataclass)
@dataclass(frozen=True)
class NF4:
    """w = NORMAL_FLOAT[codes] scale: 4 bits; the scales of 64 rows are quantised too (QLoRA).

    If D is a multiple of 64, `codes.T` and `scale_codes.T` are, flattened, the bytes of
    bitsandbytes for the weight w^T of a torch layer.
    """

    codes: jax.Array
    """uint8 [D / 2, F]"""
    scale_codes: jax.Array
    """uint8 [D / 64, F], indices of dynamic_map"""
    nested: jax.Array
    """float32 [D F / 64 / 256]: scale of 256 scales, in the order of scale_codes.T"""
    offset: jax.Array
    """float32 []: mean scale, which is subtracted first"""
    D: int = field(metadata={"static": True})
    """rows of w"""
    bits: ClassVar[int] = 4

    @property
    def scales(self) -> jax.Array:
        """Scale of each group of rows [D / 64, F]."""
        S, F = self.scale_codes.shape
        of = (jnp.arange(F)[None] * S + jnp.arange(S)[:, None]) // NESTED
        return jnp.asarray(dynamic_map())[self.scale_codes] * self.nested[of] + self.offset

    @staticmethod
    def value(code):
        """Number in units of the scale: four halvings of the table by the bits of the code."""
        numbers = list(NORMAL_FLOAT)
        for bit in (8, 4, 2, 1):
            upper = (code & bit) != 0
            half = len(numbers) // 2
            numbers = [
                jnp.where(upper, high, low) for low, high in zip(numbers[:half], numbers[half:])
            ]
        return numbers[0]


@functools.partial(jax.tree_util.register_dataclass)
@dataclass(frozen=True)
class Ternary:
    """w = (codes - 1) scale: 2 bits, one scale for the matrix (BitNet b1.58)."""

    codes: jax.Array
    """uint8 [D / 4, F]"""
    scale: jax.Array
    """float32 []"""
    D: int = field(metadata={"static": True})
    """rows of w"""
    bits: ClassVar[int] = 2

    @property
    def scales(self) -> jax.Array:
        """Scale of each group of rows [1, F]."""
        return jnp.broadcast_to(self.scale, (1, self.codes.shape[1]))

    @staticmethod
    def value(code):
        """Number in units of the scale."""
        return code - 1


Quantised = Int8 | Int4 | NF4 | Ternary


def quantise_int8(w: jax.Array) -> Int8:
    """Rounds w [D, F] to 255 steps of the size max |w| / 127 of the column."""
    w = _matrix(w)
    scale = jnp.max(jnp.abs(w), 0, keepdims=True, initial=0) / 127
    return Int8(_rounded(w, scale).astype(jnp.int8), scale, len(w))


def quantise_int4(w: jax.Array, group: int = 128) -> Int4:
    """Rounds w [D, F] to 15 steps of the size max |w| / 7 of `group` rows of the column.

    group: a power of two, 32 or larger. Raises ValueError otherwise.
    """
    if group < 32 or group & (group - 1):
        raise ValueError(f"group is a power of two, 32 or larger, not {group}")
    w = _matrix(w)
    groups = _grouped(w, group)
    scale = jnp.max(jnp.abs(groups), 1, initial=0) / 7
    codes = _rounded(groups, scale[:, None]).reshape(-1, w.shape[1]) + 8
    return Int4(_packed(codes, 4), scale, len(w))


def quantise_nf4(w: jax.Array) -> NF4:
    """Nearest NORMAL_FLOAT of w / max |w| in 64 rows of a column; the scales in 8 bits (QLoRA)."""
    w = _matrix(w)
    groups = _grouped(w, BLOCK)
    scale = jnp.max(jnp.abs(groups), 1, initial=0)
    codes = _nearest(_over(groups, scale[:, None]), np.asarray(NORMAL_FLOAT, np.float32))
    offset = jnp.mean(scale)
    blocks = _grouped((scale - offset).T.reshape(-1, 1), NESTED)[..., 0]
    nested = jnp.max(jnp.abs(blocks), 1, initial=0)
    scale_codes = _nearest(_over(blocks, nested[:, None]), dynamic_map()).reshape(-1)
    scale_codes = scale_codes[: scale.size].reshape(scale.T.shape).T.astype(jnp.uint8)
    return NF4(_packed(codes.reshape(-1, w.shape[1]), 4), scale_codes, nested, offset, len(w))


def quantise_ternary(w: jax.Array) -> Ternary:
    """Rounds w [D, F] to -1, 0 or 1 times mean |w| (BitNet b1.58, section 2)."""
    w = _matrix(w)
    scale = jnp.maximum(jnp.mean(jnp.abs(w)), 1e-5)
    codes = jnp.clip(jnp.round(_grouped(w, 4) / scale), -1, 1) + 1
    return Ternary(_packed(codes.reshape(-1, w.shape[1]), 2), scale, len(w))


def unpack(byte: jax.Array, bits: int, p: int) -> jax.Array:
    """The p-th code of each byte, int32."""
    byte = byte.astype(jnp.int32)
    return byte if bits == 8 else (byte >> (8 - bits * (p + 1))) & (2**bits - 1)


def dequantise(w: Quantised) -> jax.Array:
    """The matrix [D, F] that the codes stand for, in the dtype of the scales (float32)."""
    P, (K, F) = 8 // w.bits, w.codes.shape
    codes = jnp.stack([unpack(w.codes, w.bits, p) for p in range(P)], 1).reshape(P * K, F)
    scales = w.scales
    scales = jnp.repeat(scales, -(-P * K // len(scales)), 0)[: P * K]
    return (w.value(codes) * scales)[: w.D].astype(scales.dtype)


def bits_per_weight(w: Quantised) -> float:
    """Bits of codes and scales for one weight."""
    return 8 * sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(w)) / (w.D * w.codes.shape[1])


def _matrix(w) -> jax.Array:
    if w.ndim != 2 or not jnp.issubdtype(w.dtype, jnp.floating):
        raise ValueError(f"w is a floating matrix [D, F], not {w.dtype}{list(w.shape)}")
    return w.astype(jnp.float32)


def _grouped(w, group: int):
    """w with zero rows up to a multiple of the group [D / group, group, F]."""
    return jnp.pad(w, ((0, -len(w) % group), (0, 0))).reshape(-1, group, w.shape[1])


def _over(w, scale):
    return w / jnp.where(scale > 0, scale, 1)


def _rounded(w, scale):
    return jnp.round(_over(w, scale)).astype(jnp.int32)


def _nearest(x, table):
    """Index of the number of an ascending table that is nearest to x; the lower one of two."""
    return jnp.searchsorted(jnp.asarray((table[1:] + table[:-1]) / 2), x).astype(jnp.int32)


def _packed(codes, bits: int):
    """uint8 [D bits / 8, F], codes [D, F] of that many bits, the first in the highest bits."""
    P = 8 // bits
    parts = codes.astype(jnp.uint8).reshape(-1, P, codes.shape[1])
    return sum(parts[:, p] << (8 - bits * (p + 1)) for p in range(P))
