"""Options of paged attention, and the tokens that a query attends to."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Options(NamedTuple):
    """Keyword arguments of `paged_attention`."""

    scale: float
    """factor of the logits"""
    cap: float | None
    """soft cap of the logits"""
    window: int | None
    """number of last tokens that count"""
    splits: int | None
    """GPU programs that share a sequence"""


def checked(q, k_pages, v_pages, block_tables, lengths, **given) -> Options:
    """The options with their defaults. Raises ValueError if a shape or an option does not fit."""
    options = Options(**{"scale": None, "cap": None, "window": None, "splits": None, **given})
    if q.ndim != 3 or k_pages.ndim != 4 or k_pages.shape != v_pages.shape:
        raise ValueError(
            "accepted: q [B, H, K], k_pages and v_pages [G, pages, page, K]; "
            f"got {q.shape}, {k_pages.shape}, {v_pages.shape}"
        )
    (B, H, K), G = q.shape, k_pages.shape[0]
    if k_pages.shape[-1] != K:
        raise ValueError(f"the queries have head dimension {K}, the pages {k_pages.shape[-1]}")
    if H % G:
        raise ValueError(f"{G} key/value heads do not divide {H} query heads")
    if block_tables.ndim != 2 or block_tables.shape[0] != B or lengths.shape != (B,):
        raise ValueError(
            f"accepted for {B} sequences: block_tables [{B}, P], lengths [{B}]; "
            f"got {block_tables.shape}, {lengths.shape}"
        )
    for name, x in (("block_tables", block_tables), ("lengths", lengths)):
        if not jnp.issubdtype(x.dtype, jnp.integer):
            raise ValueError(f"{name} has dtype {x.dtype}; accepted: an integer dtype")
    for name in ("cap", "window", "splits"):
        value = getattr(options, name)
        if value is not None and value <= 0:
            raise ValueError(f"{name}={value}; accepted: None or a positive number")
    return options._replace(scale=K**-0.5) if options.scale is None else options


def attended(lengths: jax.Array, capacity: int, window: int | None):
    """First token that the newest token attends to, and the end, of sequences of these lengths."""
    end = jnp.clip(lengths, 0, capacity)
    return jnp.zeros_like(end) if window is None else jnp.maximum(end - window, 0), end
