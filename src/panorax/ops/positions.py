"""Positions as phases: rotary embeddings for attention and their extensions to longer contexts, sinusoidal features for times and positions."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Num

from panorax.core.ranges import Count, Positive, checked


def rope_frequencies(head_dim: int, theta: float | Float[Array, ""]) -> Float[Array, " half"]:
    """Angular frequencies theta^(-2i / head_dim), i = 0 .. head_dim/2 - 1, in radians per position (Su et al. 2021, sec. 3.2.2)."""
    return theta ** (-jnp.arange(0, head_dim, 2, dtype=jnp.float32) / head_dim)


def rope(
    x_BTHK: Float[Array, "B T H K"],
    position_BT: Int[Array, "B T"],
    frequencies: Float[Array, " half"],
) -> Float[Array, "B T H K"]:
    """Rotate each pair (x_i, x_{i + K/2}) by position * frequency_i, so that q.k depends on the distance of positions alone.

    Pairs are half-split, as in the Hugging Face weights; the paper and Meta's weights interleave them (a permutation of the rows of
    the q and k projections). Computed in float32, returned in the dtype of `x_BTHK`.
    """
    angle = position_BT[:, :, None, None].astype(jnp.float32) * frequencies[None, None, None, :]
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    a, b = jnp.split(x_BTHK.astype(jnp.float32), 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], -1).astype(x_BTHK.dtype)


@checked
class Rope:
    """Rotary embeddings (Su et al. 2021): pair i of a head turns by theta^(-2i / K) radians per position."""

    theta: Positive = 10_000.0

    def frequencies(self, head_dim: int, length) -> Float[Array, " half"]:
        """Radians per position of each pair, for a text of `length` tokens (an integer that may be traced)."""
        return rope_frequencies(head_dim, self.theta)

    @property
    def magnitude(self) -> float:
        """What queries and keys are multiplied by besides being turned."""
        return 1.0


@checked
class LinearRope(Rope):
    """Positions divided by `factor` (position interpolation, Chen et al. 2023, arXiv:2306.15595)."""

    factor: Positive = 1.0

    def frequencies(self, head_dim: int, length) -> Float[Array, " half"]:
        return rope_frequencies(head_dim, self.theta) / self.factor


@checked
class DynamicNTKRope(Rope):
    """A theta that grows with the text once it is longer than `context` tokens (NTK-aware interpolation; Peng et al. 2023, arXiv:2309.00071, sec. 3.3):

    theta' = theta * (factor * length / context - (factor - 1))^(K / (K - 2)). Keys in a cache keep the turn they were given.
    """

    factor: Positive = 1.0
    context: Count = 2048

    def frequencies(self, head_dim: int, length) -> Float[Array, " half"]:
        stretch = self.factor * jnp.maximum(length, self.context).astype(
            jnp.float32
        ) / self.context - (self.factor - 1)
        return rope_frequencies(head_dim, self.theta * stretch ** (head_dim / (head_dim - 2)))


@checked
class YarnRope(Rope):
    """YaRN (Peng et al. 2023, arXiv:2309.00071, sec. 3.2 and 3.4): pairs that turn fewer than `slow` times over the `context` of the
    pre-training are slowed by `factor`, those that turn more than `fast` times are left, and between them the share changes linearly with
    the pair's index. Queries and keys are multiplied by `attention`, 0.1 log(factor) + 1 where it is None.
    """

    factor: Positive = 1.0
    context: Count = 2048
    fast: Positive = 32.0
    slow: Positive = 1.0
    attention: Positive | None = None
    whole: bool = True
    """the range between them is widened to whole indices"""

    def __post_init__(self):
        super().__post_init__()
        if self.theta <= 1:
            raise ValueError(
                f"rope.theta must be above 1, or all pairs turn alike; got {self.theta}"
            )

    def frequencies(self, head_dim: int, length) -> Float[Array, " half"]:
        turning = lambda turns: (
            head_dim * math.log(self.context / (turns * 2 * math.pi)) / (2 * math.log(self.theta))
        )  # the pair that turns so often
        first, last = turning(self.fast), turning(self.slow)
        if self.whole:
            first, last = math.floor(first), math.ceil(last)
        first, last = max(first, 0), min(last, head_dim - 1)
        slowed = jnp.clip((jnp.arange(head_dim // 2) - first) / max(last - first, 0.001), 0.0, 1.0)
        plain = rope_frequencies(head_dim, self.theta)
        return plain * (1 - slowed) + plain / self.factor * slowed

    @property
    def magnitude(self) -> float:
        if self.attention is not None:
            return self.attention
        return 0.1 * math.log(self.factor) + 1.0 if self.factor > 1 else 1.0


@checked
class Llama3Rope(Rope):
    """Llama 3.1 (arXiv:2407.21783): pairs that turn fewer than `slow` times over the `context` of the pre-training are slowed by `factor`,
    those that turn more than `fast` times are left, and between them the share changes linearly with the number of turns.
    """

    factor: Positive = 8.0
    context: Count = 8192
    fast: Positive = 4.0
    slow: Positive = 1.0

    def __post_init__(self):
        super().__post_init__()
        if self.fast <= self.slow:
            raise ValueError(f"rope.fast {self.fast} must be above rope.slow {self.slow}")

    def frequencies(self, head_dim: int, length) -> Float[Array, " half"]:
        plain = rope_frequencies(head_dim, self.theta)
        turns = self.context * plain / (2 * math.pi)
        kept = jnp.clip((turns - self.slow) / (self.fast - self.slow), 0.0, 1.0)
        return plain * kept + plain / self.factor * (1 - kept)


def sinusoidal(
    position: Num[Array, "*shape"], width: int, max_period: float = 10_000.0
) -> Float[Array, "*shape width"]:
    """[cos(p w_i), sin(p w_i)] with w_i = max_period^(-2i / width) (Vaswani et al. 2017, sec. 3.5; halves side by side, not interleaved).

    `width` must be even. For a time in [0, 1] scale it up first: the highest frequency is 1 radian per unit.
    """
    if width % 2:
        raise ValueError(f"sinusoidal features need an even width, got {width}")
    w = max_period ** (-jnp.arange(0, width, 2, dtype=jnp.float32) / width)
    angle = position.astype(jnp.float32)[..., None] * w.reshape((1,) * position.ndim + w.shape)
    return jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], -1)
