"""Continuations that a decoder samples inside a compiled program, such as a training step."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from panorax.core.layout import on_own_rows
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
    """`new` tokens after each prompt, sampled with a cache. Each row has a key of its own.

    On a mesh every device has all parameters and continues its own rows.

    prompt_BT: tokens, padded on the right.  length_B: prompt length of each row, at least 1.
    ends: tokens after which a row repeats the first of them.
    """
    options = {"ends": ends, "cfg": cfg, "sampling": sampling}

    def of_row(params, prompt_T, length, key):
        row = prompt_T[None], length[None], jnp.zeros(1, bool), jnp.int32(0)
        decoding = prefill(params, *row, key, room=new, **options)
        return advance(params, decoding, key, n=new, **options)[0][0]

    of_rows = jax.vmap(of_row, (None, 0, 0, 0))
    return on_own_rows(
        of_rows, params, (prompt_BT, length_B, jax.random.split(key, len(prompt_BT)))
    )
