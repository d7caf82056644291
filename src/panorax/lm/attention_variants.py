"""Attention variants at equal parameters and tokens: their held-out loss against their cache.

    mha      a key/value head for each query head           2 H K numbers per token and layer
    gqa      a key/value head for each group of heads       2 G K
    mqa      one key/value head                             2 K
    mla      a latent for all heads (DeepSeek-V2)           R + P
    window   the last W tokens, and the first as sinks      2 H K, of at most sinks + W tokens
    linear   linear attention                               H K (K + 1) per row, whatever the text

The feed-forward networks take what an attention saves, so that all models have equal parameters.
Every variant has the same initial seeds and reads the same tokens.

    *_loss             mean held-out nats per token over the seeds
    *_gap              mean of the loss minus that of multi-head attention of the same seed
    *_cached_gap       largest difference of logits with a cache and without, relative to the
                       largest logit, after training
    parallel_*         relative difference of the forms of linear attention

Sources: Shazeer 2019, arXiv:1911.02150; Ainslie et al. 2023, arXiv:2305.13245; DeepSeek-V2,
arXiv:2405.04434; Xiao et al. 2023, arXiv:2309.17453; Katharopoulos et al. 2020, arXiv:2006.16236.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import figures
from panorax.core.ranges import Count, Whole, checked
from panorax.core.state import Result
from panorax.core.study import Part, family
from panorax.lm import variants
from panorax.nets.decoders import decoder
from panorax.nets.decoders.latent import Latent
from panorax.nets.decoders.linear import Linear
from panorax.nets.decoders.llama import Model
from panorax.ops import linear_attention


@checked
class Config:
    model: Model = Model(vocab=1024, d_model=96, n_layers=4, n_heads=6, n_kv_heads=6, d_ff=256)
    """decoder whose attention varies"""
    setting: variants.Setting = variants.Setting()
    """text and training of all variants"""
    seeds: Count = 3
    """seeds of each variant"""
    groups: Count = 2
    """key/value heads of grouped-query attention [G]"""
    latent: Latent = Latent(rank=32, rotary=16)
    """sizes of latent attention"""
    window: Count = 32
    """window of sliding-window attention in tokens [W]"""
    sinks: Count = 4
    """first tokens that every later token sees in sliding-window attention"""
    chunk: Count = 32
    """tokens per chunk of linear attention"""
    seed: Whole = 0
    """first seed"""


@functools.lru_cache(maxsize=1)
def models(cfg: Config) -> dict[str, Model]:
    """Every variant, with the parameters of multi-head attention."""
    mha = dataclasses.replace(cfg.model, n_kv_heads=cfg.model.n_heads)
    change = functools.partial(dataclasses.replace, mha)
    return {
        "mha": mha,
        "gqa": variants.matched(change(n_kv_heads=cfg.groups), mha),
        "mqa": variants.matched(change(n_kv_heads=1), mha),
        "mla": variants.matched(change(attention=cfg.latent), mha),
        "window": change(windows=(cfg.window,), sinks=cfg.sinks),
        "linear": change(attention=Linear(chunk=cfg.chunk)),
    }


def cached(key, cfg: Config) -> Result:
    """Bytes of a row of the cache of each variant, and how often they divide those of MHA."""
    T = cfg.setting.context
    rows = {
        name: decoder.footprint(m, T)["cache_bytes_of_a_row"] for name, m in models(cfg).items()
    }
    metrics = family("{}_cache_bytes", rows)
    metrics |= family("{}_cache_divisor", {name: rows["mha"] / x for name, x in rows.items()})
    return Result(metrics)


def quality(key, cfg: Config) -> Result:
    """Held-out loss of every variant and seed, and logits with the cache."""
    losses, gaps, sizes = {}, {}, {}
    seeds = range(cfg.seed, cfg.seed + cfg.seeds)
    tokens = variants.text(cfg.setting.data, cfg.model.vocab).held_out
    prompt = jnp.asarray(tokens[None, : cfg.setting.context])
    for name, model in models(cfg).items():
        trained = list(variants.trained_seeds(model, cfg.setting, seeds))
        losses[name] = variants.held_out_loss(model, trained, cfg.setting)
        gaps[name] = variants.cached_gap(trained[0], model, prompt)
        sizes[name] = variants.size(model)
    against = {name: x - losses["mha"] for name, x in losses.items() if name != "mha"}
    metrics = {
        "parameters": sizes["mha"],
        "parameters_spread": max(sizes.values()) / min(sizes.values()) - 1,
        "largest_cached_gap": max(gaps.values()),
    }
    metrics |= family("{}_loss", {name: x.mean() for name, x in losses.items()})
    metrics |= family("{}_gap", {name: x.mean() for name, x in against.items()})
    metrics |= family("{}_gap_worst", {name: x.max() for name, x in against.items()})
    metrics |= family("{}_cached_gap", gaps)
    return Result(metrics, {"variants.png": draw_variants(losses, cfg)})


def forms(key, cfg: Config) -> Result:
    """The three forms of linear attention on random arrays, without decay and with it."""
    B, T, H, K = 2, cfg.setting.context, cfg.model.n_heads, cfg.model.head_size
    keys = jax.random.split(key, 3)
    q, k, v = (jax.random.normal(key, (B, T, H, K)) for key in keys)
    q, k = linear_attention.features(q), linear_attention.features(k)
    empty, counted = jnp.zeros((B, H, K, K)), jnp.full(B, T)
    differences = {"chunked": [], "recurrent": []}
    for slope in (0.0, 0.1):
        slopes = jnp.full(H, slope)
        parallel = linear_attention.parallel_sums(q, k, v, slopes)
        for name, chunk in (("chunked", cfg.chunk), ("recurrent", 1)):
            sums, _ = linear_attention.chunked_sums(q, k, v, slopes, empty, counted, chunk)
            gap = jnp.max(jnp.abs(sums - parallel)) / jnp.max(jnp.abs(parallel))
            differences[name].append(float(gap))
    return Result(
        {
            "parallel_minus_chunked": max(differences["chunked"]),
            "parallel_minus_recurrent": max(differences["recurrent"]),
        }
    )


def draw_variants(losses: dict[str, np.ndarray], cfg: Config):
    """The loss of every seed over the bytes of a cache, and the bytes over the text."""
    figure, (left, right) = figures.panels(2, width=5.0, height=4.0)
    T = cfg.setting.context
    for name, model in models(cfg).items():
        size = decoder.footprint(model, T)["cache_bytes_of_a_row"] / 1024
        left.plot([size] * len(losses[name]), losses[name], "o", label=name)
        lengths = [2**n for n in range(4, 14)]
        rows = [decoder.footprint(model, n)["cache_bytes_of_a_row"] / 1024 for n in lengths]
        right.plot(lengths, rows, label=name)
    left.set(title="held-out loss, a point per seed", ylabel="nats per token", xscale="log")
    left.set(xlabel=f"cache of {T} tokens (KiB)")
    figures.x_ticks(left, [2**n for n in range(4, 10)])
    right.set(title="size of the cache", xlabel="tokens", ylabel="KiB per row")
    right.set(xscale="log", yscale="log")
    return figures.legends(figure)


def study(cfg: Config) -> dict[str, Part]:
    """Sizes, losses and the forms of linear attention."""
    parts = {"cached": cached, "quality": quality, "forms": forms}
    return {name: functools.partial(part, cfg=cfg) for name, part in parts.items()}
