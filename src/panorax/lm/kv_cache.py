"""Key/value caches: their size, their layouts, and the quality that a smaller cache keeps.

Without a cache, a decoder computes the keys and values of the whole text for every new token. A
cache of B rows of S tokens holds

    heads      2 L B G S K numbers                latent    L B S (R + P) numbers
    window     2 L B G min(S, sinks + W) K        linear    L B H K (K + 1), whatever S is
    int8       2 L B G S (K + 4) bytes: K of 8 bits and a scale of 32 bits

A step of generation reads the weights once and the cache of every row. The calculator `bytes_of`
states these sizes, and the study compares it with the arrays that `decoder.empty_cache` allocates.

    gap_*                 largest difference of logits with a cache and without, relative to the
                          largest logit, of a trained model
    int8_rise             rise of held-out perplexity if keys and values have 8 bits
    window_rise_at_W      rise if a model of full attention keeps the last W tokens alone
    sinks_rise_at_W       rise if it keeps the first tokens besides (attention sinks)

Sources: Shazeer 2019, arXiv:1911.02150; Pope et al. 2022, arXiv:2211.05102; DeepSeek-V2,
arXiv:2405.04434; Xiao et al. 2023, arXiv:2309.17453.
"""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import figures
from panorax.core.ranges import Count, Whole, checked
from panorax.core.state import Result
from panorax.core.study import Part, family
from panorax.lm import variants
from panorax.nets.decoders import decoder
from panorax.nets.decoders.cache import Int8
from panorax.nets.decoders.latent import Latent
from panorax.nets.decoders.linear import Linear
from panorax.nets.decoders.llama import Model
from panorax.ops.positions import Alibi
from panorax.ops.unembedding import cross_entropy_sum

LLAMA_2_70B = Model(
    vocab=32_000,
    d_model=8192,
    n_layers=80,
    n_heads=64,
    n_kv_heads=8,
    d_ff=28_672,
    tied=False,
    dtype="bfloat16",
)
DEEPSEEK_V2 = Model(
    vocab=102_400,
    d_model=5120,
    n_layers=60,
    n_heads=128,
    n_kv_heads=128,
    head_dim=128,
    dtype="bfloat16",
    attention=Latent(rank=512, query_rank=1536, rotary=64),
)


@checked
class Config:
    model: Model = Model(
        vocab=1024, d_model=128, n_layers=4, n_heads=4, n_kv_heads=2, d_ff=384, unroll=4
    )
    """decoder that is trained, with a cache of keys and values of every token"""
    setting: variants.Setting = variants.Setting(context=256)
    """text and training of the decoder"""
    windows: tuple[Count, ...] = (16, 32, 64, 128)
    """tokens that a smaller cache keeps"""
    sinks: Count = 4
    """first tokens that a cache with sinks keeps besides"""
    room: Count = 96
    """tokens per row of the caches that are allocated"""
    rows: Count = 3
    """rows of these caches"""
    seed: Whole = 0
    """seed of the decoder"""


def layouts(cfg: Config) -> dict[str, Model]:
    """The decoder with each kind of cache, which changes its attention in some of them."""
    change, G = functools.partial(dataclasses.replace, cfg.model), cfg.model.n_heads
    window = min(cfg.windows)
    return {
        "heads": change(n_kv_heads=G),
        "grouped": cfg.model,
        "one_head": change(n_kv_heads=1),
        "half": change(dtype="bfloat16"),
        "int8": change(cache=Int8()),
        "window": change(windows=(window,)),
        "sinks": change(windows=(window,), sinks=cfg.sinks),
        "alibi_window": change(windows=(window,), positions=Alibi()),
        "latent": change(attention=Latent(rank=64, rotary=16)),
        "linear": change(attention=Linear()),
    }


def bytes_of(model: Model, batch: int, tokens: int) -> int:
    """Bytes of a cache of `batch` rows of `tokens` tokens, by the formulas of this file."""
    L, H, K = model.n_layers, model.n_heads, model.head_size
    if isinstance(model.attention, Linear):
        return 4 * L * batch * H * K * (K + 1)
    widest = max(window or tokens for window in model.windows)
    S = min(tokens, model.sinks + widest)
    is_latent = isinstance(model.attention, Latent)
    groups, width = 2 * model.n_kv_heads, K
    if is_latent:
        groups, width = 1, model.attention.rank + model.attention.rotary
    number = {"float32": 4, "bfloat16": 2}[model.dtype]
    entry = width + 4 if isinstance(model.cache, Int8) else width * number
    return L * batch * S * groups * entry


def allocated(model: Model, batch: int, tokens: int) -> int:
    """Bytes of the arrays of an empty cache."""
    cache = decoder.empty_cache(model, batch, tokens)
    return sum(x.nbytes for x in jax.tree.leaves(cache.layers))


def sizes(key, cfg: Config) -> Result:
    """The calculator against allocations, and the caches of published models."""
    models = layouts(cfg)
    wrong = {
        name: bytes_of(model, cfg.rows, cfg.room) - allocated(model, cfg.rows, cfg.room)
        for name, model in models.items()
    }
    whole = bytes_of(models["heads"], 1, cfg.room)
    mha = dataclasses.replace(LLAMA_2_70B, n_kv_heads=LLAMA_2_70B.n_heads)
    weights = 2 * variants.size(LLAMA_2_70B)
    cache = bytes_of(LLAMA_2_70B, 1, 4096)
    numbers = bytes_of(DEEPSEEK_V2, 1, 1) / (2 * DEEPSEEK_V2.n_layers)
    metrics = {
        "bytes_wrong": sum(abs(x) for x in wrong.values()),
        "one_head_share": bytes_of(models["one_head"], 1, cfg.room) / whole,
        "grouped_share": bytes_of(models["grouped"], 1, cfg.room) / whole,
        "gigabytes_70b_grouped": round(cache / 1e9, 2),
        "gigabytes_70b_heads": round(bytes_of(mha, 1, 4096) / 1e9, 2),
        "gigabytes_70b_weights": round(weights / 1e9, 2),
        "weights_share_of_traffic": weights / (weights + cache),
        "rows_of_equal_traffic": weights / cache,
        "latent_as_groups": numbers / (2 * DEEPSEEK_V2.head_size),
    }
    return Result(metrics, {"sizes.png": draw_sizes(), "traffic.png": draw_traffic()})


@functools.lru_cache(maxsize=1)
def trained(cfg: Config):
    """Parameters of the decoder after training."""
    return next(variants.trained_seeds(cfg.model, cfg.setting, (cfg.seed,)))


def held_out(cfg: Config) -> tuple[np.ndarray, np.ndarray]:
    """Held-out windows (N, T + 1) and the weights (N, T) of their predictions."""
    tokens, T = variants.text(cfg.setting.data, cfg.model.vocab), cfg.setting.context
    count = -(-cfg.setting.held_out // cfg.setting.batch)
    batches = list(itertools.islice(tokens.held_out_batches(cfg.setting.batch, T, T), count))
    return tuple(np.stack([batch[name] for batch in batches]) for name in ("rows", "weights"))


def perplexity(params, model: Model, cfg: Config) -> float:
    """Held-out perplexity per token, with every key and value read from the cache."""

    rows, weights = held_out(cfg)
    nats = sum(_nats(params, row, weight, model) for row, weight in zip(rows, weights))
    return float(np.exp(nats / weights.sum()))


@functools.partial(jax.jit, static_argnames="model")
def _nats(params, rows_BT1, weight_BT, model: Model):
    """Sum of the cross entropies of windows that are read into a cache."""
    (B, T), tokens_BT = weight_BT.shape, rows_BT1[:, :-1]
    cache = decoder.empty_cache(model, B, T)
    logits_BTV, _ = decoder.extend(params, tokens_BT, jnp.full(B, T), cache, model)
    return cross_entropy_sum(logits_BTV, rows_BT1[:, 1:], weight_BT)


def gaps(key, cfg: Config) -> Result:
    """Logits with a cache, token by token behind a prompt, and of the full pass."""
    change = functools.partial(dataclasses.replace, cfg.model)
    window = min(cfg.windows)
    models = {
        "heads": cfg.model,
        "window": change(windows=(window,)),
        "sinks": change(windows=(window,), sinks=cfg.sinks),
    }
    rows = jnp.asarray(held_out(cfg)[0][0][:2, :-1])
    measured = {
        name: variants.cached_gap(trained(cfg), model, rows) for name, model in models.items()
    }
    return Result(family("gap_{}", measured))


def quality(key, cfg: Config) -> Result:
    """Perplexity with 8 bits, and with the last tokens alone, with sinks and without."""
    params, change = trained(cfg), functools.partial(dataclasses.replace, cfg.model)
    exact = perplexity(params, cfg.model, cfg)
    ways = {"window": 0, "sinks": cfg.sinks}
    measured = {
        (way, W): perplexity(params, change(windows=(W,), sinks=sinks), cfg) / exact - 1
        for way, sinks in ways.items()
        for W in cfg.windows
    }
    metrics = {
        "parameters": variants.size(cfg.model),
        "perplexity": exact,
        "int8_rise": perplexity(params, change(cache=Int8()), cfg) / exact - 1,
    }
    metrics |= family("{}_rise_at_{}", measured)
    return Result(metrics, {"windows.png": draw_windows(measured, cfg)})


def draw_sizes():
    """Gigabytes of the cache of Llama 2 70B over the text, by attention."""
    change = functools.partial(dataclasses.replace, LLAMA_2_70B)
    models = {
        "multi-head": change(n_kv_heads=LLAMA_2_70B.n_heads),
        "8 groups": LLAMA_2_70B,
        "8 groups, int8": change(cache=Int8()),
        "latent of 512 + 64": change(attention=Latent(512, None, 64)),
        "multi-query": change(n_kv_heads=1),
        "8 groups, window of 4,096": change(windows=(4096,)),
        "linear": change(attention=Linear()),
    }
    figure, (ax,) = figures.panels(width=6.0, height=4.2)
    tokens = 2 ** np.arange(9, 18)
    for name, model in models.items():
        ax.plot(tokens, [bytes_of(model, 1, int(n)) / 1e9 for n in tokens], label=name)
    ax.set(title="cache of Llama 2 70B, one row", xlabel="tokens", ylabel="gigabytes")
    ax.set(xscale="log", yscale="log")
    return figures.legends(figure, fontsize=8)


def draw_traffic():
    """Gigabytes that a step of Llama 2 70B reads at 4,096 tokens, over the batch."""
    figure, (ax,) = figures.panels(width=6.0)
    batch, weights = 2 ** np.arange(0, 10), 2 * variants.size(LLAMA_2_70B) / 1e9
    for name, G in (("multi-head", 64), ("8 groups", 8)):
        model = dataclasses.replace(LLAMA_2_70B, n_kv_heads=G)
        ax.plot(batch, [bytes_of(model, int(n), 4096) / 1e9 for n in batch], label=f"cache, {name}")
    ax.axhline(weights, color="black", ls="--", label="weights")
    ax.set(title="read per step at 4,096 tokens", xlabel="rows", ylabel="gigabytes")
    ax.set(xscale="log", yscale="log")
    return figures.legends(figure)


def draw_windows(measured: dict[tuple[str, int], float], cfg: Config):
    """Rise of perplexity over the tokens that the cache keeps."""
    figure, (ax,) = figures.panels(width=5.4)
    labels = {"window": "last tokens", "sinks": f"last tokens and the first {cfg.sinks}"}
    for way, label in labels.items():
        ax.plot(cfg.windows, [100 * measured[way, W] for W in cfg.windows], "o-", label=label)
    ax.set(title="a model of full attention with a smaller cache", xlabel="window (tokens)")
    ax.set(ylabel="rise of perplexity (%)", xscale="log")
    figures.x_ticks(ax, cfg.windows)
    return figures.legends(figure)


def study(cfg: Config) -> dict[str, Part]:
    """Sizes, equality with the full pass, and quality."""
    parts = {"sizes": sizes, "gaps": gaps, "quality": quality}
    return {name: functools.partial(part, cfg=cfg) for name, part in parts.items()}
