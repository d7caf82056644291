"""The information bottleneck: its exact curve, and a variational bottleneck trained on digits.

Known distributions: the self-consistent equations of `panorax.maths.information.bottleneck_curves`
beside the exact curves of a binary symmetric channel and of two correlated Gaussians.

Digits: the deep variational information bottleneck (Alemi et al. 2017, arXiv:1612.00410). An
encoder q(z | x) = N(m(x), diag v(x)) and a decoder q(y | z) minimise

    E[-log q(y | z)] + beta R,      R = E KL(q(z | x) | N(0, I)).

beta is 1/b of the curves. On the training images, with H the entropy of the classes,

    H(Y) - E[-log q(y | z)]  <=  I(Z; Y)  <=  I(Z; X)  <=  R,      I(Z; Y)  <=  H(Y).

The class of a digit is a function of its image, so the best curve is I(Z; Y) = I(Z; X) up to H(Y)
(Kolchinsky et al. 2019, arXiv:1808.07593). For beta above 1 the best code carries no information.
As beta rises to 1, z becomes noisier and the decoder less confident: accuracy stays, while cross
entropy and calibration error rise.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from panorax.core import figures
from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.core.ranges import Count, Positive, PositiveShare, Whole, checked
from panorax.core.state import Result
from panorax.core.step import descend
from panorax.core.study import Part, family
from panorax.data import datasets
from panorax.maths.calibration import calibration_error
from panorax.maths.inference.gaussian_family import kl_to_standard_normal
from panorax.maths.information.blahut_arimoto import discrete_information
from panorax.maths.information.bottleneck_curves import (
    binary_curve,
    binary_symmetric_joint,
    bottleneck_curve,
    gaussian_curve,
    gaussian_joint,
)
from panorax.nets import mlp
from panorax.ops.losses import cross_entropy

PIXELS, CLASSES = 64, 10
SHOWN = (0.0, 1e-2, 0.3)
"""values of beta whose codes are drawn, each rounded up to a beta of the config"""


@checked
class Config:
    flip: PositiveShare = 0.1
    """probability that the symmetric channel flips the bit"""
    correlation: PositiveShare = 0.8
    """correlation of the two Gaussians"""
    bins: Count = 32
    """cells per Gaussian on the grid"""
    points: Count = 40
    """points computed on each curve"""
    iterations: Count = 4000
    """largest number of iterations at each point"""
    betas: tuple[Positive, ...] = (
        1e-5,
        1e-4,
        1e-3,
        3e-3,
        1e-2,
        3e-2,
        0.1,
        0.2,
        0.3,
        0.5,
        0.7,
        1.0,
        2.0,
    )
    """weights beta of the rate, rising"""
    latent: Count = 8
    """dimensions of z"""
    hidden: Count = 128
    """width of the encoder's hidden layers"""
    steps: Count = 2000
    """training steps"""
    batch: Count = 128
    """images per step"""
    lr: Positive = 1e-3
    """first learning rate of Adam, which falls to 0"""
    samples: Count = 50
    """samples of z per evaluated image"""
    bars: Count = 10
    """bins of the calibration error"""
    seeds: Count = 4
    """networks trained for each beta"""
    seed: Whole = 0
    """seed of all random numbers"""

    def __post_init__(self):
        if tuple(sorted(set(self.betas))) != self.betas:
            raise UserError("betas must rise")
        if min(len(self.betas), self.points, self.latent) < 2:
            raise UserError("points, latent and the number of betas must be at least 2")
        if self.flip >= 0.5 or self.correlation >= 1:
            raise UserError("flip must be below 0.5 and correlation below 1")


class KnownCurve(NamedTuple):
    """A computed curve beside the exact one, in nats."""

    b: np.ndarray
    """inverse slopes of the curve at its points, rising"""
    compression: np.ndarray
    """I(X; T) at each point"""
    relevance: np.ndarray
    """I(T; Y) at each point"""
    information: float
    """I(X; Y), the upper bound on I(T; Y)"""
    exact: Callable[[np.ndarray], np.ndarray]
    """exact I(T; Y) as a function of I(X; T)"""


class Evaluation(NamedTuple):
    """A bottleneck on one set of images."""

    rate: Array
    """R, the mean KL divergence of q(z | x) from N(0, I), in nats"""
    loss: Array
    """mean cross entropy in nats"""
    accuracy: Array
    """share of images that the mean prediction classifies correctly"""
    calibration: Array
    """expected calibration error of the mean prediction"""


class Bottleneck(NamedTuple):
    """Trained bottlenecks; all fields have the leading axes (betas, seeds)."""

    train: Evaluation
    """evaluation on the training images"""
    held_out: Evaluation
    """evaluation on the held-out images"""
    code: Array
    """means of q(z | x) for the held-out images (images, latent)"""


def exact_curves(cfg: Config) -> dict[str, KnownCurve]:
    """The bottleneck curves of the two known distributions, in float64."""
    line = gaussian_curve([cfg.correlation], np.geomspace(1 / cfg.correlation**2, 1e5, 20_000))

    def curve(joint, strength: float, exact: Callable) -> KnownCurve:
        # T carries no information for b below 1 / strength
        b = np.geomspace(0.9, 20.0, cfg.points) / strength
        computed = bottleneck_curve(joint, b, 1e-9, cfg.iterations)
        information = float(discrete_information(joint))
        return KnownCurve(b, computed.compression, computed.relevance, information, exact)

    with jax.enable_x64(True):
        return {
            "binary": curve(
                binary_symmetric_joint(cfg.flip),
                (1 - 2 * cfg.flip) ** 2,
                lambda r: binary_curve(r, cfg.flip),
            ),
            "gaussian": curve(
                gaussian_joint(cfg.correlation, cfg.bins),
                cfg.correlation**2,
                lambda r: np.interp(r, *line),
            ),
        }


def curve_metrics(known: dict[str, KnownCurve]) -> dict[str, float]:
    """Distances from the exact curves, and violations of data processing and concavity."""
    gap = {name: np.abs(c.relevance - c.exact(c.compression)).max() for name, c in known.items()}
    return {
        **family("{}_gap", gap),
        "processing_excess": float(max(processing_excess(c) for c in known.values())),
        "chord_outside": float(max(chord_outside(c) for c in known.values())),
    }


def processing_excess(curve: KnownCurve) -> float:
    """Largest violation of I(T; Y) <= I(X; T) and I(T; Y) <= I(X; Y), in nats."""
    return (curve.relevance - np.minimum(curve.compression, curve.information)).max()


def chord_outside(curve: KnownCurve) -> float:
    """Largest violation of concavity with slope 1/b, in nats.

    The slope of the chord between b and b' > b must lie between 1/b' and 1/b.
    """
    rise, run = np.diff(curve.relevance), np.diff(curve.compression)
    return np.maximum(rise - run / curve.b[:-1], run / curve.b[1:] - rise).max()


def spec(cfg: Config):
    """A perceptron to the mean and log variance of z, and a linear map from z to the logits."""
    return {
        "body": mlp.spec((PIXELS, cfg.hidden, cfg.hidden)),
        "head": mlp.dense_spec(cfg.hidden, 2 * cfg.latent, mlp.fan_in(0.3)),
        "decoder": mlp.dense_spec(cfg.latent, CLASSES, mlp.fan_in(1.0)),
    }


def encode(params, x_BX: Float[Array, "B X"]) -> tuple[Float[Array, "B Z"], Float[Array, "B Z"]]:
    """Mean and log variance of q(z | x)."""
    features = mlp.apply(params["body"], x_BX, jax.nn.relu)
    mean, log_variance = jnp.split(mlp.dense(params["head"], features), 2, -1)
    return mean, log_variance


def sampled_logits(params, mean, log_variance, key) -> Float[Array, "B V"]:
    """Logits of q(y | z) for one sample of z per image."""
    z = mean + jnp.exp(0.5 * log_variance) * jax.random.normal(key, mean.shape)
    return mlp.dense(params["decoder"], z)


def vib_loss(params, x_BX, label_B, beta, key) -> Float[Array, ""]:
    """E[-log q(y | z)] + beta R with one sample of z per image, in nats; R is exact."""
    encoded = encode(params, x_BX)
    loss = jnp.mean(cross_entropy(sampled_logits(params, *encoded, key), label_B))
    return loss + beta * jnp.mean(kl_to_standard_normal(*encoded))


def evaluate(params, x, label, key, cfg: Config) -> Evaluation:
    """Evaluates one bottleneck with `cfg.samples` samples of z per image."""
    encoded = encode(params, x)

    def predict(key):
        logits = sampled_logits(params, *encoded, key)
        return jnp.mean(cross_entropy(logits, label)), jax.nn.softmax(logits)

    losses, probabilities = jax.lax.map(predict, jax.random.split(key, cfg.samples))
    p = jnp.mean(probabilities, 0)
    return Evaluation(
        rate=jnp.mean(kl_to_standard_normal(*encoded)),
        loss=jnp.mean(losses, 0),
        accuracy=jnp.mean(jnp.argmax(p, 1) == label),
        calibration=calibration_error(p, label, cfg.bars),
    )


def train(key, cfg: Config) -> Bottleneck:
    """Trains and evaluates a bottleneck for each beta and seed, all at once."""
    x, label, x_held, label_held = (jnp.asarray(a) for a in datasets.digit_vectors())
    tx = optax.adam(optax.cosine_decay_schedule(cfg.lr, cfg.steps))

    def bottleneck(beta, key):
        key_init, key_steps, key_train, key_held = jax.random.split(key, 4)

        def loss(params, key):
            key_rows, key_noise = jax.random.split(key)
            rows = jax.random.randint(key_rows, (cfg.batch,), 0, len(x))
            return vib_loss(params, x[rows], label[rows], beta, key_noise)

        start = core_spec.init(spec(cfg), key_init)
        params, _ = descend(loss, tx, start, jax.random.split(key_steps, cfg.steps))
        return Bottleneck(
            evaluate(params, x, label, key_train, cfg),
            evaluate(params, x_held, label_held, key_held, cfg),
            encode(params, x_held)[0],
        )

    grid = jax.jit(jax.vmap(jax.vmap(bottleneck, (None, 0)), (0, None)))
    return jax.tree.map(np.asarray, grid(jnp.array(cfg.betas), jax.random.split(key, cfg.seeds)))


def class_entropy() -> float:
    """H(Y) of the training images, in nats."""
    share = np.bincount(label := datasets.digit_vectors().label) / len(label)
    return float(-np.sum(share * np.log(share)))


def digit_metrics(trained: Bottleneck, cfg: Config) -> dict[str, float]:
    """Means over seeds at each beta, and the metrics of the claims."""
    entropy = class_entropy()
    train, held_out = trained.train, trained.held_out
    rate, accuracy = train.rate.mean(1), held_out.accuracy.mean(1)
    information = np.log(CLASSES) - held_out.loss.mean(1)
    at_beta = lambda values: dict(zip(cfg.betas, values, strict=True))
    return {
        **family("accuracy_{:g}", at_beta(accuracy)),
        **family("calibration_{:g}", at_beta(held_out.calibration.mean(1))),
        **family("rate_{:g}", at_beta(rate)),
        **family("held_out_information_{:g}", at_beta(information)),
        **family("gap_{:g}", at_beta((held_out.loss - train.loss).mean(1))),
        "largest_rise_of_rate": float(np.diff(rate).max()),
        "largest_information": float(entropy - train.loss.min()),
        "class_entropy": entropy,
        "information_over_rate": float((entropy - train.loss - train.rate).max()),
        "lowest_accuracy_at_small_beta": float(accuracy[np.array(cfg.betas) <= 1e-2].min()),
        "accuracy_at_largest_beta": float(accuracy[-1]),
        "rate_at_largest_beta": float(rate[-1]),
        "least_rate_at_95": float(rate[accuracy >= 0.95].min(initial=rate.max())),
        "best_held_out_information": float(information.max()),
        "held_out_information_at_smallest_beta": float(information[0]),
    }


def curves(key, cfg: Config) -> Result:
    """Self-consistent equations beside two exact curves."""
    known = exact_curves(cfg)
    return Result(curve_metrics(known), {"curves.png": draw_curves(known)})


def digits(key, cfg: Config) -> Result:
    """Variational bottlenecks of the digits over a range of beta."""
    trained = train(key, cfg)
    return Result(
        digit_metrics(trained, cfg),
        {"digits.png": draw_digits(trained, cfg), "codes.png": draw_codes(trained, cfg)},
    )


def draw_curves(known: dict[str, KnownCurve]):
    """Computed points on the exact curves, below the bound of data processing."""
    figure, axes = figures.panels(2)
    titles = {"binary": "binary symmetric channel", "gaussian": "two correlated Gaussians"}
    for ax, (name, curve) in zip(axes, known.items(), strict=True):
        fine = np.linspace(0, max(curve.compression), 300)
        ax.plot(curve.compression, curve.relevance, "o", ms=3.5, label="self-consistent equations")
        ax.plot(fine, curve.exact(fine), label="exact")
        bound = np.minimum(fine, curve.information)
        ax.plot(fine, bound, ":", color="k", lw=1, label="data processing")
        ax.set(title=titles[name], xlabel="I(X; T) (nats)", ylabel="I(T; Y) (nats)")
    return figures.legends(figure, loc="lower right")


def draw_digits(trained: Bottleneck, cfg: Config):
    """The information plane, accuracy and calibration, and the generalisation gap."""
    figure, (plane, accuracy, loss) = figures.panels(3)
    entropy, rate = class_entropy(), trained.train.rate.mean(1)
    widest = float(min(4 * entropy, rate.max()))
    corner = min(entropy, widest)
    for name, e in (("training", trained.train), ("held-out", trained.held_out)):
        information = np.log(CLASSES) - e.loss.mean(1)
        plane.plot(e.rate.mean(1), information, "-o", ms=4, label=name)
        accuracy.semilogx(cfg.betas, e.accuracy.mean(1), "-o", ms=4, label=f"{name} accuracy")
        loss.loglog(cfg.betas, e.loss.mean(1), "-o", ms=4, label=name)
    error = trained.held_out.calibration.mean(1)
    accuracy.semilogx(cfg.betas, error, "-s", ms=4, label="held-out calibration error")
    bound = dict(color="k", lw=1, label="data processing")
    plane.plot([0, corner, widest], [0, corner, corner], ":", **bound)
    plane.set(title="information plane", xlim=(-0.2, 1.1 * widest))
    plane.set(xlabel="rate R >= I(Z; X) (nats)", ylabel="lower bound on I(Z; Y) (nats)")
    accuracy.set(title="accuracy and calibration", xlabel="beta", ylabel="share of images")
    loss.set(title="generalisation", xlabel="beta", ylabel="cross entropy (nats)")
    return figures.legends(figure)


def draw_codes(trained: Bottleneck, cfg: Config):
    """Codes of held-out images in their two principal directions, at three values of beta."""
    figure, axes = figures.panels(len(SHOWN))
    for ax, i in zip(axes, np.searchsorted(cfg.betas, SHOWN).clip(max=len(cfg.betas) - 1)):
        code = trained.code[i, 0]
        centred = code - code.mean(0)
        plane = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
        label = datasets.digit_vectors().label_held
        points = ax.scatter(*plane.T, c=label, cmap=figures.class_colors(), s=8)
        points.set_clim(-0.5, CLASSES - 0.5)
        ax.set(title=f"held-out codes, beta = {cfg.betas[i]:g}", aspect="equal")
        ax.set(xlabel="first principal direction", ylabel="second principal direction")
    figure.colorbar(points, ax=axes[-1], ticks=range(CLASSES), label="class")
    return figure


def study(cfg: Config) -> dict[str, Part]:
    """Two exact curves, and the variational bottleneck on digits."""
    return {
        "curves": functools.partial(curves, cfg=cfg),
        "digits": functools.partial(digits, cfg=cfg),
    }
