"""Forward pass of any decoder-only Transformer, over a whole text or over new tokens and a cache.

A family of models is a module with

    spec(cfg)                                  all parameters; "layers" is stacked along L
    embed(params, tokens_BT, cfg)              -> x_BTD
    block(x_BTD, layer, rotate, attend, cfg)   -> x_BTD, cache
    unembed(params, x_BTD, cfg)                -> logits_BTV

`rotate(q)` applies the positions; `attend(q, k, v) -> values, cache` returns the cache that `block`
passes on. The config of a family has the fields n_layers, n_kv_heads, head_size, rope, windows,
dtype, remat and unroll, documented in `panorax.nets.decoders.llama.Model`.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from panorax.core import struct
from panorax.core.config import module_of
from panorax.core.layout import split_batch, whole_rows
from panorax.core.net import Net, stateless
from panorax.ops.attention import attention, sliding_window_mask
from panorax.ops.blockwise import NEVER, causal_attention
from panorax.ops.positions import rope

REMAT = {
    "none": lambda step: step,
    "products": functools.partial(
        jax.checkpoint, policy=jax.checkpoint_policies.dots_with_no_batch_dims_saveable
    ),
    "layers": jax.checkpoint,
}


def spec(cfg):
    """All parameters of the model that `cfg` describes."""
    return module_of(cfg).spec(cfg)


def net(cfg) -> Net:
    """The model that `cfg` describes: maps tokens (B, T) to logits (B, T, V)."""
    return stateless(spec(cfg), functools.partial(apply, cfg=cfg))


def apply(
    params,
    tokens_BT: Int[Array, "B T"] | Float[Array, "B T D"],
    cfg,
    *,
    position_BT: Int[Array, "#B T"] | None = None,
    mask_BTS: Bool[Array, "#B T T"] | None = None,
) -> Float[Array, "B T V"]:
    """Logits of the next token after each position, given the tokens up to that position.

    tokens_BT: ids, or embeddings (B, T, D) in their place, such as `params["embed"][ids]`; Gemma
    scales embeddings by sqrt(D) before its first layer. An id outside the vocabulary is clipped.
    position_BT: position of each token; by default 0 .. T - 1. A token attends to positions up to
    its own, within its window.
    mask_BTS: False where a query may not attend to a key, such as padding or a token of another
    document. The causal window holds besides.
    Without a mask, texts of more than one block (see `panorax.ops.blockwise`) have only
    reverse-mode derivatives, and so does every text where kernels run (`pallas_kernels`).
    """
    family, (B, T) = module_of(cfg), tokens_BT.shape[:2]
    rows = 1 if position_BT is None else B
    position_BT = jnp.broadcast_to(jnp.arange(T) if position_BT is None else position_BT, (B, T))
    rotate = rotation(position_BT, T, cfg)

    def step(x_BTD, layer_and_window):
        layer, window = layer_and_window

        def attend(q, k, v, **options):
            if mask_BTS is not None:
                mask = sliding_window_mask(position_BT, position_BT, window) & mask_BTS
                return attention(q, k, v, mask, **options), None
            of_rows = position_BT[:rows]
            return causal_attention(q, k, v, of_rows, of_rows, window, **options), None

        x_BTD, _ = family.block(x_BTD, layer, rotate, attend, cfg)
        return split_batch(x_BTD), None

    whole = params | {"embed": whole_rows(params["embed"])}
    x_BTD = split_batch(family.embed(whole, tokens_BT, cfg))
    layers = (params["layers"], _windows(cfg))
    x_BTD, _ = jax.lax.scan(REMAT[cfg.remat](step), x_BTD, layers, unroll=cfg.unroll)
    return family.unembed(params, x_BTD, cfg)


@struct.dataclass
class Cache:
    """Keys and values of the tokens so far.

    k, v: (L, B, G, S, K), with room for S tokens. The tokens of a head are contiguous, which is the
    layout that attention reads.  length: number of tokens in each row, int32 (B,).
    """

    k: Any
    v: Any
    length: Any


def empty_cache(cfg, batch: int, room: int) -> Cache:
    """A cache for `batch` rows of S = `room` tokens: 2 L B G S K numbers of dtype `cfg.dtype`."""
    k, v = jnp.zeros((2, cfg.n_layers, batch, cfg.n_kv_heads, room, cfg.head_size), cfg.dtype)
    return Cache(k, v, jnp.zeros(batch, jnp.int32))


def footprint(cfg, context: int) -> dict[str, float]:
    """Bytes of the cache per token, and per row of `context` tokens."""
    cache = jax.eval_shape(lambda: empty_cache(cfg, 1, context))
    row = sum(x.size * x.dtype.itemsize for x in (cache.k, cache.v))
    return {"cache_bytes_per_token": row / context, "cache_bytes_of_a_row": row}


def grown(cache: Cache, room: int) -> Cache:
    """The cache enlarged to `room` tokens per row, which must be at least its present room."""
    pads = ((0, 0),) * 3 + ((0, room - cache.k.shape[3]), (0, 0))
    return cache.replace(k=jnp.pad(cache.k, pads), v=jnp.pad(cache.v, pads))


def extend(params, tokens_BT: Int[Array, "B T"], new_B: Int[Array, " B"], cache: Cache, cfg):
    """Runs T tokens per row after the cached tokens.

    Returns the logits after each token, and the cache extended by the first `new_B` tokens of each
    row. All other tokens are padding, which later tokens overwrite before any query attends to it.
    Tokens beyond the room S of the cache are lost, so cache.length + new_B must be at most S.
    """
    family, (B, T) = module_of(cfg), tokens_BT.shape
    position_BT = cache.length[:, None] + jnp.arange(T)[None, :]
    _, _, G, S, _ = cache.k.shape
    slot_1S = jnp.arange(S)[None, :]
    rotate = rotation(position_BT, cache.length + new_B, cfg)
    slots_BGT = (
        jnp.arange(B)[:, None, None],
        jnp.arange(G)[None, :, None],
        position_BT[:, None, :],
    )

    def step(carry, layer_and_window):
        (x_BTD, k_LBGSK, v_LBGSK, l), (layer, window) = carry, layer_and_window

        def attend(q_BTHK, k_BTGK, v_BTGK, **options):
            k = k_LBGSK.at[(l, *slots_BGT)].set(k_BTGK.swapaxes(1, 2))
            v = v_LBGSK.at[(l, *slots_BGT)].set(v_BTGK.swapaxes(1, 2))
            k_BSGK, v_BSGK = k[l].swapaxes(1, 2), v[l].swapaxes(1, 2)
            values = causal_attention(
                q_BTHK, k_BSGK, v_BSGK, position_BT, slot_1S, window, **options
            )
            return values, (k, v)

        x_BTD, (k_LBGSK, v_LBGSK) = family.block(x_BTD, layer, rotate, attend, cfg)
        return (x_BTD, k_LBGSK, v_LBGSK, l + 1), None

    start = (family.embed(params, tokens_BT, cfg), cache.k, cache.v, 0)
    (x_BTD, k, v, _), _ = jax.lax.scan(step, start, (params["layers"], _windows(cfg)))
    return family.unembed(params, x_BTD, cfg), Cache(k, v, cache.length + new_B)


def rotation(position_BT, length, cfg):
    """The function that rotates queries or keys at `position_BT` in a text of `length` tokens.

    length: number of tokens of all rows, or of each row (B,).
    """
    frequencies = cfg.rope.frequencies(cfg.head_size, length)
    return lambda x_BTHK: rope(x_BTHK, position_BT, frequencies) * cfg.rope.magnitude


def _windows(cfg) -> np.ndarray:
    """Window of each layer in tokens, (L,); `NEVER` for an unlimited one."""
    return np.resize([window or NEVER for window in cfg.windows], cfg.n_layers).astype(np.int32)
