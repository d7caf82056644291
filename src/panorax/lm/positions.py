"""Position schemes: which depend on distances alone, and which read texts beyond their training.

    added      sinusoidal and learned vectors of the position
    rotated    RoPE; beyond its training with linear, NTK, dynamic NTK and YaRN scaling
    biased     ALiBi
    none       NoPE

Every scheme trains on texts of T tokens. The model of RoPE is then read with each scaling, without
further training.

    *_shift               largest change of the loss or of a gradient, relative to the largest
                          gradient, if all positions rise by `shift`
    *_perplexity_at_T     held-out perplexity in windows of T tokens
    decay_*               the course's statement that RoPE decays with the distance: with q = k the
                          score is sum_i cos(d theta_i), of which only an upper bound decays

Sources: Vaswani et al. 2017; Su et al. 2021, arXiv:2104.09864; Press et al. 2022, arXiv:2108.12409;
Kazemnejad et al. 2023, arXiv:2305.19466; Chen et al. 2023, arXiv:2306.15595; Peng et al. 2023,
arXiv:2309.00071.
"""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import figures
from panorax.core import spec as core_spec
from panorax.core.ranges import Count, Positive, Whole, checked
from panorax.core.state import Result
from panorax.core.study import Part, family
from panorax.lm import variants
from panorax.nets.decoders import decoder
from panorax.nets.decoders.llama import Model
from panorax.ops.positions import (
    Alibi,
    DynamicNTKRope,
    Learned,
    LinearRope,
    NoPE,
    Rope,
    Sinusoidal,
    YarnRope,
    rope_frequencies,
)
from panorax.ops.unembedding import cross_entropy_sum


@checked
class Config:
    model: Model = Model(vocab=1024, d_model=96, n_layers=4, n_heads=3, n_kv_heads=3, d_ff=256)
    """decoder whose positions vary"""
    setting: variants.Setting = variants.Setting(batch=16, context=64)
    """text and training of all schemes"""
    factor: Count = 8
    """longest text that is read, in contexts of the training"""
    held_out: Count = 16_384
    """held-out tokens that are read at each length"""
    shift: Count = 100
    """positions by which all tokens of a text move"""
    distances: Count = 4096
    """largest distance of the decay of RoPE"""
    head_dim: Count = 128
    """width of a head in the decay of RoPE"""
    theta: Positive = 10_000.0
    """base of its frequencies"""
    seed: Whole = 0
    """seed of all models"""


def schemes(cfg: Config) -> dict:
    """Positions of the models that are trained."""
    return {
        "rope": Rope(),
        "alibi": Alibi(),
        "nope": NoPE(),
        "sinusoidal": Sinusoidal(),
        "learned": Learned(cfg.factor * cfg.setting.context),
    }


def scalings(cfg: Config) -> dict:
    """Positions with which the trained model of RoPE is read."""
    K, T, factor = cfg.model.head_size, cfg.setting.context, float(cfg.factor)
    return {
        "linear": LinearRope(factor=factor),
        "ntk": Rope(Rope().theta * factor ** (K / (K - 2))),
        "dynamic_ntk": DynamicNTKRope(context=T),
        "yarn": YarnRope(factor=factor, context=T),
    }


def lengths(cfg: Config) -> list[int]:
    """Lengths of the texts that are read: T, 2 T, .., factor T."""
    powers = itertools.takewhile(lambda n: n <= cfg.factor, (2**i for i in itertools.count()))
    return [n * cfg.setting.context for n in powers]


@functools.partial(jax.jit, static_argnames="model")
def value_and_gradient(params, tokens_BT1, start, model: Model):
    """Mean cross entropy of texts whose first token is at position `start`, and its gradient."""
    B, T = tokens_BT1[:, 1:].shape
    place = jnp.broadcast_to(start + jnp.arange(T), (B, T))

    def loss(params):
        logits = decoder.unembedding(params, tokens_BT1[:, :-1], model, position_BT=place)
        return cross_entropy_sum(logits, tokens_BT1[:, 1:]) / place.size

    return jax.value_and_grad(loss)(params)


def relative(key, cfg: Config) -> Result:
    """Changes of loss and gradients by a shift of all positions, with random parameters."""
    tokens = jax.random.randint(key, (2, cfg.setting.context + 1), 0, cfg.model.vocab)

    def change(positions) -> float:
        model = dataclasses.replace(cfg.model, positions=positions)
        params = core_spec.init(decoder.spec(model), key)
        here, there = (value_and_gradient(params, tokens, x, model) for x in (0, cfg.shift))
        # the rows of a learned table are other parameters, not a change of what is computed
        here, there = (jax.tree.leaves((x, g["layers"])) for x, g in (here, there))
        largest = max(float(jnp.max(jnp.abs(x))) for x in here[1:])
        return max(float(jnp.max(jnp.abs(a - b))) for a, b in zip(here, there)) / largest

    return Result(family("{}_shift", {name: change(x) for name, x in schemes(cfg).items()}))


def perplexities(params, model: Model, cfg: Config) -> dict[int, float]:
    """Held-out perplexity by the length of the windows that are read."""
    tokens = variants.text(cfg.setting.data, cfg.model.vocab).held_out
    values = {}
    for T in lengths(cfg):
        n = max(min(cfg.held_out, len(tokens) - 1) // T, 1)
        rows = np.stack([tokens[i * T : i * T + T + 1] for i in range(n)])
        batch = max(cfg.setting.batch * cfg.setting.context // T, 1)
        parts = [rows[i : i + batch] for i in range(0, n - batch + 1, batch)] or [rows]
        values[T] = float(np.exp(np.mean([_nats(params, part, model) for part in parts])))
    return values


@functools.partial(jax.jit, static_argnames="model")
def _nats(params, rows_BT1, model: Model):
    """Mean cross entropy of the tokens of whole windows."""
    logits_BTV = decoder.unembedding(params, rows_BT1[:, :-1], model)
    return cross_entropy_sum(logits_BTV, rows_BT1[:, 1:]) / rows_BT1[:, 1:].size


def extrapolation(key, cfg: Config) -> Result:
    """Perplexity over the length, for every scheme and scaling."""
    change = functools.partial(dataclasses.replace, cfg.model)
    curves, trained = {}, {}
    for name, positions in schemes(cfg).items():
        model = change(positions=positions)
        [trained[name]] = variants.trained_seeds(model, cfg.setting, (cfg.seed,))
        curves[name] = perplexities(trained[name], model, cfg)
    for name, positions in scalings(cfg).items():
        curves[name] = perplexities(trained["rope"], change(positions=positions), cfg)
    values = {(name, T): x for name, curve in curves.items() for T, x in curve.items()}
    ratios = {
        name: curve[max(curve)] / curves[name if name in trained else "rope"][min(curve)]
        for name, curve in curves.items()
    }
    metrics = {"parameters": variants.size(cfg.model)}
    metrics |= family("{}_perplexity_at_{}", values) | family("{}_rise", ratios)
    return Result(metrics, {"lengths.png": draw_lengths(curves, [*trained])})


def decay(key, cfg: Config) -> Result:
    """Scores of q = k over the distance, beside the bound of RoFormer, section 3.4.3.

    With h_i = q_i k_i of the pairs, |sum_i h_i e^(i d theta_i)| is at most max |h_(i+1) - h_i|
    sum_i |S_i|, the partial sums S_i of e^(i d theta_j) over j < i and h = 0 behind the last pair.
    """
    frequencies = np.asarray(rope_frequencies(cfg.head_dim, cfg.theta), np.float64)
    distance = np.arange(cfg.distances)
    waves = np.exp(1j * distance[:, None] * frequencies)
    score, bound = waves.real.mean(1), np.abs(np.cumsum(waves, 1)).sum(1) / len(frequencies)
    size, rising = np.abs(score), np.diff(np.abs(score)) > 0
    metrics = {
        "decay_rising_share": np.mean(rising),
        "decay_beyond_bound": np.max(size - bound),
        "decay_bound_fall": bound[-1] / bound[0],
        "decay_largest_return": np.max(size[len(size) // 2 :]) / np.min(size[: len(size) // 2]),
    }
    metrics = {name: float(x) for name, x in metrics.items()}
    return Result(metrics, {"decay.png": draw_decay(distance, score, bound)})


def draw_lengths(curves: dict[str, dict[int, float]], trained: list[str]):
    """Perplexity over the length: schemes on the left, scalings of RoPE on the right."""
    figure, axes = figures.panels(2, width=5.0, sharey=True)
    names = (trained, ["rope", *(name for name in curves if name not in trained)])
    titles = ("schemes", "RoPE with a scaling, without further training")
    for ax, shown, title in zip(axes, names, titles):
        for name in shown:
            ax.plot([*curves[name]], [*curves[name].values()], "o-", label=name.replace("_", " "))
        ax.set(title=title, xlabel="tokens of a text", ylabel="held-out perplexity")
        ax.set(xscale="log", yscale="log")
        ax.axvline(min(curves["rope"]), color="grey", ls=":")
        figures.x_ticks(ax, [*curves["rope"]])
    return figures.legends(figure)


def draw_decay(distance: np.ndarray, score: np.ndarray, bound: np.ndarray):
    """The score of equal vectors over the distance, beside the bound."""
    figure, (ax,) = figures.panels(width=6.4)
    ax.plot(distance[1:], np.abs(score[1:]), lw=0.6, label="|score| of q = k")
    ax.plot(distance[1:], bound[1:], lw=0.8, label="bound of RoFormer")
    ax.set(title="RoPE over the distance", xlabel="distance (tokens)", ylabel="relative to 0")
    ax.set(xscale="log", yscale="log")
    return figures.legends(figure)


def study(cfg: Config) -> dict[str, Part]:
    """Shifts, lengths, and the decay of RoPE."""
    parts = {"relative": relative, "extrapolation": extrapolation, "decay": decay}
    return {name: functools.partial(part, cfg=cfg) for name, part in parts.items()}
