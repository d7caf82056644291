"""What every decoder-only Transformer does with its blocks: run them over a text, or over new tokens and a cache of keys and values.

A family of models is a module with

    spec(cfg)                                         every parameter; those of the layers stacked along L under "layers"
    embed(params, tokens_BT, cfg) -> x_BTD
    block(x_BTD, layer, rotate, attend, cfg) -> x_BTD, cache     attend(q, k, v) -> values, cache; the cache is returned unchanged
    unembed(params, x_BTD, cfg) -> logits_BTV

and a config with n_layers, n_kv_heads, head_size, rope, windows, dtype, remat and unroll (`panorax.nets.decoders.llama.Model` says what they are).
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from panorax.core import struct
from panorax.core.config import module_of
from panorax.core.layout import split_batch, whole_rows
from panorax.core.net import Net, stateless
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
    """Every parameter of the model that `cfg` describes."""
    return module_of(cfg).spec(cfg)


def net(cfg) -> Net:
    """The model that `cfg` describes, from tokens (B, T) to logits (B, T, V)."""
    return stateless(spec(cfg), functools.partial(apply, cfg=cfg))


def apply(params, tokens_BT: Int[Array, "B T"], cfg) -> Float[Array, "B T V"]:
    """Logits of the token after each position, from the tokens up to it."""
    family, (B, T) = module_of(cfg), tokens_BT.shape
    position_BT = jnp.broadcast_to(jnp.arange(T)[None, :], (B, T))
    rotate = rotation(position_BT, T, cfg)

    def step(x_BTD, layer_and_window):
        layer, window = layer_and_window
        attend = lambda q, k, v, **how: (
            causal_attention(q, k, v, position_BT[:1], position_BT[:1], window, **how),
            None,
        )
        x_BTD, _ = family.block(x_BTD, layer, rotate, attend, cfg)
        return split_batch(x_BTD), None

    x_BTD = split_batch(
        family.embed(params | {"embed": whole_rows(params["embed"])}, tokens_BT, cfg)
    )
    x_BTD, _ = jax.lax.scan(
        REMAT[cfg.remat](step), x_BTD, (params["layers"], _windows(cfg)), unroll=cfg.unroll
    )
    return family.unembed(params, x_BTD, cfg)


@struct.dataclass
class Cache:
    """Keys and values of the tokens so far: k and v (L, B, G, S, K) with room for S tokens, and how many each row holds, (B,).

    The tokens of a head lie together, as the products of attention read them.
    """

    k: Any
    v: Any
    length: Any


def empty_cache(cfg, batch: int, room: int) -> Cache:
    """A cache for `batch` rows of up to `room` tokens: 2 L B G S K numbers of the compute dtype."""
    k, v = jnp.zeros((2, cfg.n_layers, batch, cfg.n_kv_heads, room, cfg.head_size), cfg.dtype)
    return Cache(k, v, jnp.zeros(batch, jnp.int32))


def footprint(cfg, context: int) -> dict[str, float]:
    """Bytes of the cache: of one token, and of one row of `context` tokens."""
    cache = jax.eval_shape(lambda: empty_cache(cfg, 1, context))
    row = sum(x.size * x.dtype.itemsize for x in (cache.k, cache.v))
    return {"cache_bytes_per_token": row / context, "cache_bytes_of_a_row": row}


def grown(cache: Cache, room: int) -> Cache:
    """The cache with room for `room` tokens a row, of which it has at most as many now."""
    more = ((0, 0),) * 3 + ((0, room - cache.k.shape[3]), (0, 0))
    return cache.replace(k=jnp.pad(cache.k, more), v=jnp.pad(cache.v, more))


def extend(params, tokens_BT: Int[Array, "B T"], new_B: Int[Array, " B"], cache: Cache, cfg):
    """Logits after each of these tokens, given those in the cache, and the cache with the first `new_B` tokens of each row added.

    Tokens after the first `new_B` are padding: later tokens overwrite them before anything attends to them. There must be room:
    cache.length + new_B <= S; what goes beyond it is lost.
    """
    family, (B, T) = module_of(cfg), tokens_BT.shape
    position_BT = cache.length[:, None] + jnp.arange(T)[None, :]
    _, _, G, S, _ = cache.k.shape
    slot_1S = jnp.arange(S)[None, :]
    rotate = rotation(position_BT, jnp.max(cache.length + new_B), cfg)
    slots_BGT = (
        jnp.arange(B)[:, None, None],
        jnp.arange(G)[None, :, None],
        position_BT[:, None, :],
    )

    def step(carry, layer_and_window):
        (x_BTD, k_LBGSK, v_LBGSK, l), (layer, window) = carry, layer_and_window

        def attend(q_BTHK, k_BTGK, v_BTGK, **how):
            k = k_LBGSK.at[(l, *slots_BGT)].set(k_BTGK.swapaxes(1, 2))
            v = v_LBGSK.at[(l, *slots_BGT)].set(v_BTGK.swapaxes(1, 2))
            return causal_attention(
                q_BTHK,
                k[l].swapaxes(1, 2),
                v[l].swapaxes(1, 2),
                position_BT,
                slot_1S,
                window,
                **how,
            ), (k, v)

        x_BTD, (k_LBGSK, v_LBGSK) = family.block(x_BTD, layer, rotate, attend, cfg)
        return (x_BTD, k_LBGSK, v_LBGSK, l + 1), None

    x_BTD = family.embed(params, tokens_BT, cfg)
    (x_BTD, k, v, _), _ = jax.lax.scan(
        step, (x_BTD, cache.k, cache.v, 0), (params["layers"], _windows(cfg))
    )
    return family.unembed(params, x_BTD, cfg), Cache(k, v, cache.length + new_B)


def rotation(position_BT, length, cfg):
    """The function that turns queries and keys at these positions of a text of `length` tokens."""
    frequencies = cfg.rope.frequencies(cfg.head_size, length)
    return lambda x_BTHK: rope(x_BTHK, position_BT, frequencies) * cfg.rope.magnitude


def _windows(cfg) -> np.ndarray:
    """How many positions each layer looks back over, (L,)."""
    return np.resize([window or NEVER for window in cfg.windows], cfg.n_layers).astype(np.int32)
