"""Forward pass of any decoder-only Transformer, over a whole text or over new tokens and a cache.

A family of models is a module with

    spec(cfg)                                     all parameters; "layers" is stacked along L
    embed(params, tokens_BT, position_BT, cfg)    -> x_BTD
    block(x_BTD, layer, attend, cfg)              -> x_BTD, kept
    unembed(params, x_BTD, cfg)                   -> Unembedding: logits, not yet multiplied out

`attend(h, layer, **options)` is the attention that the config names. It returns its output and what
the cache keeps, which `block` passes on. The config of a family has the fields of
`panorax.nets.decoders.llama.Model`, whose parts are values with the same methods:

    positions       added, rotation, slopes, spec         `panorax.ops.positions`
    attention       attend, empty, rotated, spec, check   `.heads`, `.latent`, `.linear`
    feed_forward    apply, spec                           `.feed_forward`
    cache           encode, decode                        `.cache`
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from panorax.core.config import module_of
from panorax.core.layout import split_batch, whole_rows
from panorax.core.net import Net, stateless
from panorax.nets.decoders.cache import Cache
from panorax.nets.decoders.passes import CachedPass, FullPass
from panorax.ops.blockwise import NEVER
from panorax.ops.unembedding import Unembedding

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
    """The model that `cfg` describes: maps tokens (B, T) to logits (B, T, V), an Unembedding."""
    return stateless(spec(cfg), functools.partial(unembedding, cfg=cfg))


def apply(params, tokens_BT, cfg, **options) -> Float[Array, "B T V"]:
    """Float32 logits of `unembedding`, which documents the arguments."""
    return unembedding(params, tokens_BT, cfg, **options).logits()


def unembedding(
    params,
    tokens_BT: Int[Array, "B T"] | Float[Array, "B T D"],
    cfg,
    *,
    position_BT: Int[Array, "#B T"] | None = None,
    mask_BTS: Bool[Array, "#B T T"] | None = None,
) -> Unembedding:
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
    whole_text = full_pass(position_BT, cfg, mask_BTS, rows)

    def step(x_BTD, layer_and_window):
        layer, window = layer_and_window
        attend = attention_of(dataclasses.replace(whole_text, window=window), cfg)
        x_BTD, _ = family.block(x_BTD, layer, attend, cfg)
        return split_batch(x_BTD), None

    whole = params | {"embed": whole_rows(params["embed"])}
    x_BTD = split_batch(family.embed(whole, tokens_BT, position_BT, cfg))
    layers = (params["layers"], _windows(cfg))
    x_BTD, _ = jax.lax.scan(REMAT[cfg.remat](step), x_BTD, layers, unroll=cfg.unroll)
    return family.unembed(params, x_BTD, cfg)


def full_pass(position_BT, cfg, mask_BTS=None, rows: int | None = None) -> FullPass:
    """The view of a layer without a window on a whole text.

    rows: number of first rows of `position_BT` that hold all positions; None for all rows.
    """
    positions, T = cfg.positions, position_BT.shape[1]
    rotate = positions.rotation(cfg.attention.rotated(cfg), position_BT, T)
    slopes_H = positions.slopes(cfg.n_heads)
    return FullPass(position_BT[:rows], rotate, NEVER, cfg.sinks, slopes_H, mask_BTS)


def attention_of(view: FullPass | CachedPass, cfg) -> Callable:
    """The function `attend` of a family's block."""
    return functools.partial(cfg.attention.attend, view=view, cfg=cfg)


def empty_cache(cfg, batch: int, room: int) -> Cache:
    """A cache of no token, for `batch` rows of texts of up to `room` tokens."""
    return Cache(cfg.attention.empty(cfg, batch, room), jnp.zeros(batch, jnp.int32))


def footprint(cfg, context: int) -> dict[str, float]:
    """Bytes of the cache per token, and per row of `context` tokens."""
    cache = jax.eval_shape(lambda: empty_cache(cfg, 1, context))
    row = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(cache.layers))
    return {"cache_bytes_per_token": row / context, "cache_bytes_of_a_row": row}


def grown(cache: Cache, room: int) -> Cache:
    """The cache for texts of `room` tokens per row, at least as many as it was made for."""
    return cache.replace(layers=cache.layers.grown(room))


def extend(params, tokens_BT: Int[Array, "B T"], new_B: Int[Array, " B"], cache: Cache, cfg):
    """Runs T tokens per row after the cached tokens.

    Returns the logits after each token, and the cache extended by the first `new_B` tokens of each
    row. All other tokens are padding, which no later token attends to.
    Tokens beyond the room of the cache are lost, so cache.length + new_B must be at most its room.
    """
    family, T = module_of(cfg), tokens_BT.shape[1]
    position_BT = cache.length[:, None] + jnp.arange(T)[None, :]
    width, slopes_H = cfg.attention.rotated(cfg), cfg.positions.slopes(cfg.n_heads)
    rotate = cfg.positions.rotation(width, position_BT, cache.length + new_B)

    def step(carry, layer_and_window):
        (x_BTD, layers, l), (layer, window) = carry, layer_and_window
        view = CachedPass(position_BT, rotate, window, cfg.sinks, slopes_H, layers, l, new_B)
        x_BTD, layers = family.block(x_BTD, layer, attention_of(view, cfg), cfg)
        return (x_BTD, layers, l + 1), None

    start = (family.embed(params, tokens_BT, position_BT, cfg), cache.layers, 0)
    (x_BTD, layers, _), _ = jax.lax.scan(step, start, (params["layers"], _windows(cfg)))
    return family.unembed(params, x_BTD, cfg).logits(), Cache(layers, cache.length + new_B)


def _windows(cfg) -> np.ndarray:
    """Window of each layer in tokens, (L,); `NEVER` for an unlimited one."""
    return np.resize([window or NEVER for window in cfg.windows], cfg.n_layers).astype(np.int32)
