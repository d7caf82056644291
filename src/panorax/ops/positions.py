"""Position schemes of a decoder: none, rotary with its extensions, added, and linear biases.

A scheme acts in one of three places: it is added to the embeddings (`Sinusoidal`, `Learned`), it
rotates queries and keys (`Rope` and its extensions), or it lowers the logits of distant keys
(`Alibi`). `NoPE` acts nowhere, and the other schemes replace one of its methods.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num

import pallas_kernels.rope as kernels
from panorax.core.layout import BATCH_AXES, TENSOR_AXES, by_shards
from panorax.core.ranges import Count, Positive, checked
from panorax.core.spec import P


def rope_frequencies(head_dim: int, theta: float | Float[Array, "*rows"]):
    """Frequencies theta^(-2i / head_dim), i = 0 .. head_dim / 2 - 1, in radians per position.

    Returns (*rows, head_dim / 2), a row for each theta. Source: Su et al. 2021, section 3.2.2.
    """
    exponents = -jnp.arange(0, head_dim, 2, dtype=jnp.float32) / head_dim
    return theta**exponents if jnp.ndim(theta) == 0 else theta[..., None] ** exponents[None]


def rope(
    x_BTHK: Float[Array, "B T H K"],
    position_BT: Int[Array, "B T"],
    frequencies: Float[Array, "*#B half"],
    implementation: str | None = None,
) -> Float[Array, "B T H K"]:
    """Rotates each pair (x_i, x_{i + K/2}) by the angle position * frequency_i.

    frequencies: radians per position, the same for all rows or one set for each row.
    implementation: of `pallas_kernels.rope`; "reference" has forward-mode differentiation and the
        gradient of frequencies on every machine.

    The product q.k then depends only on the difference of positions. Pairs are half-split, as in
    Hugging Face weights. The paper and Meta's weights interleave pairs, which permutes the rows of
    the q and k projections. Angles and rotations are float32; the result has the dtype of x.
    """
    run = lambda *arrays: kernels.rope(*arrays, implementation)
    rows = (BATCH_AXES,)
    splits = ((*rows, (), TENSOR_AXES), rows, rows * (frequencies.ndim - 1))
    return by_shards(run, (x_BTHK, position_BT, frequencies), splits, implementation)


@checked
class NoPE:
    """No positions: the order of tokens reaches a decoder through its causal mask alone.

    Source: Kazemnejad et al. 2023, arXiv:2305.19466.
    """

    def spec(self, width: int) -> dict[str, P]:
        """Parameters beside the embedding, whose vectors have `width` elements."""
        return {}

    def added(self, params, x_BTD: Float[Array, "B T D"], position_BT: Int[Array, "B T"]):
        """Embeddings (B, T, D) with positions added; `params` has the parameters of `spec`."""
        return x_BTD

    def rotation(self, head_dim: int, position_BT: Int[Array, "B T"], length):
        """The function that rotates queries or keys (B, T, H, head_dim) at `position_BT`.

        length: tokens of the whole text, for all rows or for each row (B,).
        """
        return lambda x_BTHK: x_BTHK

    def slopes(self, heads: int) -> Float[Array, " H"] | None:
        """Decrease of each head's logits per position of distance; None for no decrease."""
        return None


@checked
class Sinusoidal(NoPE):
    """Sines and cosines of the position, added to the embeddings.

    x = e + D^(-1/2) sinusoidal(position, D). Embeddings e have an initial standard deviation of
    D^(-1/2), so the ratio of both terms is that of the paper, sqrt(D) e + sinusoidal.
    Source: Vaswani et al. 2017, section 3.5.
    """

    def added(self, params, x_BTD, position_BT):
        D = x_BTD.shape[-1]
        return x_BTD + (D**-0.5 * sinusoidal(position_BT, D)).astype(x_BTD.dtype)


@checked
class Learned(NoPE):
    """A learned vector of each position, added to the embeddings.

    A position beyond the table reads its last row. Source: Radford et al. 2018 (GPT).
    """

    context: Count = 1024
    """rows of the table, a position each"""

    def spec(self, width):
        normal = jax.nn.initializers.normal(width**-0.5)
        return {"positions": P((self.context, width), ("positions", "embed"), normal)}

    def added(self, params, x_BTD, position_BT):
        rows_BTD = params["positions"].at[position_BT].get(mode="clip")
        return x_BTD + rows_BTD.astype(x_BTD.dtype)


@checked
class Alibi(NoPE):
    """Attention with linear biases: each head lowers a logit by its slope times the distance.

    The slopes of H heads are 2^(-8 / H), 2^(-16 / H), .., 2^(-8). If H is no power of two, heads
    beyond the largest power of two n below H have every other slope of 2 n heads.
    Source: Press et al. 2022, arXiv:2108.12409.
    """

    def slopes(self, heads):
        n = 2 ** (heads.bit_length() - 1)
        powers = [*range(1, n + 1), *(i + 0.5 for i in range(heads - n))]
        return jnp.asarray(2.0 ** (-8 * np.array(powers) / n), jnp.float32)


@checked
class Rope(NoPE):
    """Rotary embeddings: pair i rotates by theta^(-2i / K) radians per position.

    Source: Su et al. 2021, arXiv:2104.09864.
    """

    theta: Positive = 10_000.0
    """base of the frequencies"""

    def frequencies(self, head_dim: int, length) -> Float[Array, "*#B half"]:
        """Radians per position of each pair, in a text of `length` tokens (int or traced).

        length: for all rows, or for each row (B,).
        """
        return rope_frequencies(head_dim, self.theta)

    @property
    def magnitude(self) -> float:
        """Factor that multiplies the rotated queries and keys."""
        return 1.0

    def rotation(self, head_dim, position_BT, length):
        frequencies = self.frequencies(head_dim, length)
        return lambda x_BTHK: rope(x_BTHK, position_BT, frequencies) * self.magnitude


@checked
class LinearRope(Rope):
    """Position interpolation: positions are divided by `factor`.

    Source: Chen et al. 2023, arXiv:2306.15595.
    """

    factor: Positive = 1.0
    """ratio of the extended context to the pre-training context"""

    def frequencies(self, head_dim: int, length) -> Float[Array, " half"]:
        return rope_frequencies(head_dim, self.theta) / self.factor


@checked
class DynamicNTKRope(Rope):
    """Dynamic NTK-aware interpolation: theta grows once a text is longer than `context` tokens:

        theta' = theta * (factor * length / context - (factor - 1))^(K / (K - 2))

    Each row of a batch has the theta' of its own length. Cached keys keep the rotation by the
    theta' at which they were computed.
    Source: Peng et al. 2023, arXiv:2309.00071, section 3.3.
    """

    factor: Positive = 1.0
    """increase of the stretch of theta for each further `context` tokens of text"""
    context: Count = 2048
    """length of the pre-training context, in tokens"""

    def frequencies(self, head_dim: int, length) -> Float[Array, "*#B half"]:
        length = jnp.maximum(length, self.context).astype(jnp.float32)
        stretch = self.factor * length / self.context - (self.factor - 1)
        return rope_frequencies(head_dim, self.theta * stretch ** (head_dim / (head_dim - 2)))


@checked
class YarnRope(Rope):
    """YaRN: slow pairs are interpolated, fast pairs are kept, and pairs between are blended.

    A pair that rotates less than `slow` times over the pre-training context has its frequency
    divided by `factor`; a pair that rotates more than `fast` times keeps its frequency. Between the
    two, the blend is linear in the index of the pair.
    Source: Peng et al. 2023, arXiv:2309.00071, sections 3.2 and 3.4.
    """

    factor: Positive = 1.0
    """ratio of the extended context to the pre-training context"""
    context: Count = 2048
    """length of the pre-training context, in tokens"""
    fast: Positive = 32.0
    """rotations over the context above which a pair keeps its frequency"""
    slow: Positive = 1.0
    """rotations over the context below which the frequency of a pair is divided by `factor`"""
    attention: Positive | None = None
    """factor that multiplies queries and keys; None for 0.1 log(factor) + 1, at least 1"""
    whole: bool = True
    """rounding of the first and last blended index outwards to integers"""

    def __post_init__(self):
        super().__post_init__()
        if self.theta <= 1:
            raise ValueError(
                f"rope.theta must be above 1, or all pairs rotate alike; got {self.theta}"
            )

    def frequencies(self, head_dim: int, length) -> Float[Array, " half"]:
        def pair(turns):  # fractional index of the pair with this many rotations over the context
            radians = 2 * math.pi * turns
            return head_dim * math.log(self.context / radians) / (2 * math.log(self.theta))

        first, last = pair(self.fast), pair(self.slow)
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
    """The scaling of Llama 3.1: YaRN's frequencies, blended linearly in the number of rotations.

    Source: Llama 3, arXiv:2407.21783.
    """

    factor: Positive = 8.0
    """divisor of the frequencies of slow pairs"""
    context: Count = 8192
    """length of the pre-training context, in tokens"""
    fast: Positive = 4.0
    """rotations over the context above which a pair keeps its frequency"""
    slow: Positive = 1.0
    """rotations over the context below which the frequency of a pair is divided by `factor`"""

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
    """[cos(p w_i), sin(p w_i)] with w_i = max_period^(-2i / width), cosines first, not interleaved.

    The highest frequency is 1 radian per unit, so a time in [0, 1] must be scaled up first. Raises
    ValueError if `width` is odd. Source: Vaswani et al. 2017, section 3.5.
    """
    if width % 2:
        raise ValueError(f"sinusoidal features need an even width, got {width}")
    w = max_period ** (-jnp.arange(0, width, 2, dtype=jnp.float32) / width)
    angle = position.astype(jnp.float32)[..., None] * w.reshape((1,) * position.ndim + w.shape)
    return jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], -1)
