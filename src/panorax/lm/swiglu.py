"""Feed-forward networks at equal parameters: the GLU family, and activations without a gate.

    GLU family    W_down (a(W_gate h) * W_up h),  a: sigmoid, none, relu, gelu, silu (SwiGLU)
    plain         W_down a(W_up h),  a: relu, gelu, relu squared; 3/2 as wide

    *_loss                 mean held-out nats per token over the seeds
    *_low, *_high          95% interval of the mean of the loss minus that of relu of the same seed
    share_*                share of the feed-forward network in the parameters of a layer

Sources: Shazeer 2020, arXiv:2002.05202; Dauphin et al. 2017, arXiv:1612.08083; So et al. 2021,
arXiv:2109.08668.
"""

import dataclasses
import functools

import numpy as np

from panorax.core import figures
from panorax.core import spec as core_spec
from panorax.core.ranges import Count, Whole, checked
from panorax.core.state import Result
from panorax.core.study import Part, family
from panorax.lm import variants
from panorax.maths.estimates import student_interval
from panorax.nets.decoders import decoder
from panorax.nets.decoders.feed_forward import Gated, Plain
from panorax.nets.decoders.llama import Model

NETWORKS = {
    "relu": Plain("relu"),
    "gelu": Plain("gelu"),
    "squared_relu": Plain("squared-relu"),
    "glu": Gated("sigmoid"),
    "bilinear": Gated("none"),
    "reglu": Gated("relu"),
    "geglu": Gated("gelu"),
    "swiglu": Gated("silu"),
}
PUBLISHED = {
    "llama_2_7b": Model(d_model=4096, n_layers=1, n_heads=32, n_kv_heads=32, d_ff=11_008),
    "llama_3_8b": Model(d_model=4096, n_layers=1, n_heads=32, n_kv_heads=8, d_ff=14_336),
}


@checked
class Config:
    model: Model = Model(vocab=1024, d_model=96, n_layers=4, n_heads=6, n_kv_heads=2, d_ff=256)
    """decoder with a gated feed-forward network"""
    setting: variants.Setting = variants.Setting()
    """text and training of all variants"""
    seeds: Count = 5
    """seeds of each variant"""
    seed: Whole = 0
    """first seed"""

    def __post_init__(self):
        if self.seeds < 2:
            raise ValueError(f"an interval needs at least 2 seeds, got {self.seeds}")


def models(cfg: Config) -> dict[str, Model]:
    """The decoder with every feed-forward network, with equal parameters."""
    return {
        name: variants.matched(dataclasses.replace(cfg.model, feed_forward=network), cfg.model)
        for name, network in NETWORKS.items()
    }


def quality(key, cfg: Config) -> Result:
    """Held-out loss of every network and seed."""
    losses = variants.compared(models(cfg), cfg.setting, range(cfg.seed, cfg.seed + cfg.seeds))
    sizes = [variants.size(model) for model in models(cfg).values()]
    against = {name: x - losses["relu"] for name, x in losses.items() if name != "relu"}
    intervals = {name: student_interval(x) for name, x in against.items()}
    metrics = {"parameters": sizes[0], "parameters_spread": max(sizes) / min(sizes) - 1}
    metrics |= family("{}_loss", {name: x.mean() for name, x in losses.items()})
    metrics |= family("{}_low", {name: low for name, (low, _) in intervals.items()})
    metrics |= family("{}_high", {name: high for name, (_, high) in intervals.items()})
    return Result(metrics, {"networks.png": draw_networks(against, intervals)})


def shares(key, cfg: Config) -> Result:
    """Share of the matrices of the feed-forward network in those of a published layer, percent."""

    def share(model: Model) -> float:
        layers = decoder.spec(model)["layers"]
        matrices = {name: core_spec.count(p) for name, p in layers.items() if len(p.shape) > 2}
        feed_forward = sum(matrices[name] for name in ("gate", "up", "down"))
        return round(100 * feed_forward / sum(matrices.values()), 1)

    return Result(family("share_{}", {name: share(model) for name, model in PUBLISHED.items()}))


def draw_networks(against: dict[str, np.ndarray], intervals: dict[str, tuple[float, float]]):
    """The loss of every seed minus that of relu, and the interval of the mean."""
    figure, (ax,) = figures.panels(width=6.4)
    for i, (name, x) in enumerate(against.items()):
        low, high = intervals[name]
        ax.plot([i] * len(x), x, "o", color="grey", ms=3)
        ax.errorbar(i, x.mean(), [[x.mean() - low], [high - x.mean()]], fmt="s", capsize=4)
    ax.axhline(0, color="black", lw=0.8)
    ax.set_xticks(range(len(against)), [name.replace("_", " ") for name in against])
    ax.set(title="held-out loss minus that of relu, equal parameters", ylabel="nats per token")
    return figure


def study(cfg: Config) -> dict[str, Part]:
    """Losses at equal parameters, and shares of parameters."""
    parts = {"quality": quality, "shares": shares}
    return {name: functools.partial(part, cfg=cfg) for name, part in parts.items()}
