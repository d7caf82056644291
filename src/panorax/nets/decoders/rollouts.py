"""Continuations that a decoder samples inside a compiled program, such as a training step."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from panorax.core.layout import gathered, split_batch
from panorax.nets.decoders.generate import advance, prefill
from panorax.ops.sampling import Sampling

NO_END = (-1,)  # no token ends a text


def continuations(
    params,
    prompt_BT: Int[Array, "B T"],
    length_B: Int[Array, " B"],
    key: jax.Array,
    *,
    new: int,
    cfg,
    ends: tuple[int, ...] = NO_END,
    sampling: Sampling = Sampling(),
) -> Int[Array, "B new"]:
    """`new` tokens after each prompt, sampled with a cache.

    On a mesh every device has all parameters and continues its own rows.

    prompt_BT: tokens, padded on the right.  length_B: prompt length of each row, at least 1.
    ends: tokens after which a row repeats the first of them.
    """
    params, prompt_BT, length_B = gathered(params), split_batch(prompt_BT), split_batch(length_B)
    none = jnp.zeros(len(prompt_BT), bool)
    options = {"ends": ends, "cfg": cfg, "sampling": sampling}
    drawn = jnp.int32(0)
    decoding = prefill(params, prompt_BT, length_B, none, drawn, key, room=new, **options)
    return advance(params, decoding, key, n=new, **options)[0]
