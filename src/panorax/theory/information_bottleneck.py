"""The information bottleneck: its curve where the distribution is known, and its variational bound learned from digits.

Known distributions: the self-consistent equations of `panorax.maths.information.bottleneck_curves` on a bit through a symmetric channel and on two correlated normal
numbers, beside their exact curves. Digits (Alemi et al. 2017, arXiv:1612.00410): an encoder q(z | x) = N(m(x), diag v(x)) and a decoder q(y | z) minimise

    E [-log q(y | z)] + beta E KL(q(z | x) | N(0, I)),        I(Z; X) <= R = E KL(q(z | x) | N(0, I)),        I(Z; Y) >= H(Y) - E [-log q(y | z)].

Their beta weighs compression: it is 1 / b of the curves. On the images trained on, H(Y) - E[-log q(y | z)] <= I(Z; Y) <= I(Z; X) <= R (data processing) and
I(Z; Y) <= H(Y) = log 10. A digit's class is a function of its image, so that the best curve is the line I(Z; Y) = I(Z; X) up to H(Y)
(Kolchinsky et al. 2019, arXiv:1808.07593): below beta = 1 it pays to say something, above it nothing, and accuracy is that of a guess. Before that the
decoder, whose z is ever noisier, is right as often but less and less sure: accuracy stays, cross entropy and calibration error rise.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.core.ranges import Count, Positive, PositiveShare, Whole, checked
from panorax.core.state import Result
from panorax.core.step import descend
from panorax.data import datasets
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


@checked
class Config:
    flip: PositiveShare = 0.1
    """probability that the symmetric channel flips the bit"""
    correlation: PositiveShare = 0.8
    """of the two normal numbers"""
    bins: Count = 32
    """cells of each of them"""
    points: Count = 40
    """of each known curve"""
    iterations: Count = 4000
    """at most, at each point"""
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
    """weights of compression, rising"""
    latent: Count = 8
    hidden: Count = 128
    steps: Count = 2000
    batch: Count = 128
    lr: Positive = 1e-3
    samples: Count = 50
    """of z for each image that is judged"""
    bars: Count = 10
    """of the histogram of confidence"""
    seeds: Count = 4
    seed: Whole = 0

    def __post_init__(self):
        if (
            len(self.betas) < 2
            or tuple(sorted(set(self.betas))) != self.betas
            or self.points < 2
            or self.latent < 2
        ):
            raise UserError("betas must rise, betas, points and latent be at least 2")
        if self.flip >= 0.5 or self.correlation >= 1:
            raise UserError("flip must be below 0.5 and correlation below 1")


def spec(cfg: Config):
    """A perceptron to mean and log variance of z; a linear map from z to the logits."""
    return {
        "body": mlp.spec((PIXELS, cfg.hidden, cfg.hidden)),
        "head": mlp.dense_spec(cfg.hidden, 2 * cfg.latent, mlp.fan_in(0.3)),
        "decoder": mlp.dense_spec(cfg.latent, CLASSES, mlp.fan_in(1.0)),
    }


def encode(params, x_BX: Float[Array, "B X"]) -> tuple[Float[Array, "B Z"], Float[Array, "B Z"]]:
    """Mean and log variance of q(z | x)."""
    mean, log_variance = jnp.split(
        mlp.dense(params["head"], mlp.apply(params["body"], x_BX, jax.nn.relu)), 2, -1
    )
    return mean, log_variance


def sampled_logits(params, mean, log_variance, key) -> Float[Array, "B V"]:
    """log q(y | z) but for a constant, for one z of each image."""
    return mlp.dense(
        params["decoder"], mean + jnp.exp(0.5 * log_variance) * jax.random.normal(key, mean.shape)
    )


def vib_loss(params, x_BX, label_B, beta, key) -> Float[Array, ""]:
    """The loss at the top of this file, with one z an image; its KL term needs none."""
    encoded = encode(params, x_BX)
    return jnp.mean(
        cross_entropy(sampled_logits(params, *encoded, key), label_B)
    ) + beta * jnp.mean(kl_to_standard_normal(*encoded))


def calibration_error(p_NV: Float[Array, "N V"], label_N, bars: int) -> Float[Array, ""]:
    """Expected calibration error (Naeini et al. 2015; Guo et al. 2017, arXiv:1706.04599): sum over equal intervals of the largest probability of
    |hits - sum of confidence| in it, over N. Raises ValueError for other shapes than (N, V) and (N,)."""
    if p_NV.ndim != 2 or p_NV.shape[:1] != label_N.shape or not len(label_N):
        raise ValueError(
            f"probabilities must be (N, V) with N labels, got {p_NV.shape} and {label_N.shape}"
        )
    confidence, hit = jnp.max(p_NV, 1), jnp.argmax(p_NV, 1) == label_N
    interval = jnp.clip(jnp.ceil(confidence * bars).astype(jnp.int32) - 1, 0, bars - 1)
    excess = jax.ops.segment_sum(hit - confidence, interval, bars)
    return jnp.sum(jnp.abs(excess)) / len(label_N)


def judged(params, x, label, key, cfg: Config) -> dict[str, Float[Array, ""]]:
    """Rate and mean cross entropy in nats, and accuracy and calibration error of the mean prediction over `samples` of z."""
    encoded = encode(params, x)

    def one(key):
        logits = sampled_logits(params, *encoded, key)
        return jnp.mean(cross_entropy(logits, label)), jax.nn.softmax(logits)

    loss, p = (jnp.mean(each, 0) for each in jax.lax.map(one, jax.random.split(key, cfg.samples)))
    accuracy = jnp.mean(jnp.argmax(p, 1) == label)
    return {
        "rate": jnp.mean(kl_to_standard_normal(*encoded)),
        "loss": loss,
        "accuracy": accuracy,
        "calibration": calibration_error(p, label, cfg.bars),
    }


def learned(cfg: Config, key):
    """For each (beta, seed), all trained at once: what `judged` says on the images trained on, on those held out, and the means of z of the latter."""
    x, label, held, held_label = (jnp.asarray(part) for part in datasets.digit_vectors())

    def one(beta, key):
        key_init, key_steps, key_judge, key_held = jax.random.split(key, 4)

        def loss(params, key):
            key_rows, key_noise = jax.random.split(key)
            rows = jax.random.randint(key_rows, (cfg.batch,), 0, len(x))
            return vib_loss(params, x[rows], label[rows], beta, key_noise)

        tx = optax.adam(optax.cosine_decay_schedule(cfg.lr, cfg.steps))
        params, _ = descend(
            loss, tx, core_spec.init(spec(cfg), key_init), jax.random.split(key_steps, cfg.steps)
        )
        return (
            judged(params, x, label, key_judge, cfg),
            judged(params, held, held_label, key_held, cfg),
            encode(params, held)[0],
        )

    grid = jax.vmap(jax.vmap(one, (None, 0)), (0, None))
    seen, unseen, z = jax.tree.map(
        np.asarray, jax.jit(grid)(jnp.array(cfg.betas), jax.random.split(key, cfg.seeds))
    )
    return seen, unseen, z[:, 0]


def known(cfg: Config) -> tuple[dict[str, float], dict]:
    """The two known curves: distance from the exact ones, and by how much they break what must hold. Curves by name: computed (I(X;T), I(T;Y)), exact."""
    metrics, curves, excess, outside = {}, {}, [], []
    line = gaussian_curve([cfg.correlation], np.geomspace(1 / cfg.correlation**2, 1e5, 20_000))
    with jax.enable_x64(True):
        for name, joint, strength, exact in (
            (
                "binary",
                binary_symmetric_joint(cfg.flip),
                (1 - 2 * cfg.flip) ** 2,
                lambda r: binary_curve(r, cfg.flip),
            ),
            (
                "gaussian",
                gaussian_joint(cfg.correlation, cfg.bins),
                cfg.correlation**2,
                lambda r: np.interp(r, *line),
            ),
        ):
            b_N = (
                np.geomspace(0.9, 20.0, cfg.points) / strength
            )  # T says nothing below 1 / strength
            curve = bottleneck_curve(joint, b_N, 1e-9, cfg.iterations)
            r, said = curve.compression, curve.relevance
            metrics[f"{name}_gap"] = float(np.abs(said - exact(r)).max())
            excess.append((said - np.minimum(r, float(discrete_information(joint)))).max())
            # between b and b' the chord of a concave curve of slope 1 / b has a slope between 1 / b' and 1 / b
            rise, run = np.diff(said), np.diff(r)
            outside.append(np.maximum(rise - run / b_N[:-1], run / b_N[1:] - rise).max())
            curves[name] = (r, said, exact)
    return metrics | {
        "processing_excess": float(max(excess)),
        "chord_outside": float(max(outside)),
    }, curves


def study(cfg: Config, key) -> Result:
    """The known curves; and for each beta, mean over seeds, rate, information about the class, accuracy and calibration, seen and held out."""
    metrics, curves = known(cfg)
    seen, unseen, z = learned(cfg, key)
    label = datasets.digit_vectors()[1]
    entropy = float(-np.sum((share := np.bincount(label) / len(label)) * np.log(share)))
    for i, beta in enumerate(cfg.betas):
        metrics |= {
            f"{name}_{beta:g}": float(unseen[name][i].mean())
            for name in ("accuracy", "calibration")
        }
        metrics[f"rate_{beta:g}"] = float(seen["rate"][i].mean())
        metrics[f"held_out_information_{beta:g}"] = float(
            np.log(CLASSES) - unseen["loss"][i].mean()
        )
        metrics[f"gap_{beta:g}"] = float((unseen["loss"] - seen["loss"])[i].mean())
    rate, said = seen["rate"].mean(1), np.log(CLASSES) - unseen["loss"].mean(1)
    metrics["largest_rise_of_rate"] = float(np.diff(rate).max())
    metrics["largest_information"] = float(entropy - seen["loss"].min())
    metrics["class_entropy"] = entropy
    metrics["information_over_rate"] = float((entropy - seen["loss"] - seen["rate"]).max())
    small = np.array(cfg.betas) <= 1e-2
    metrics["lowest_accuracy_at_small_beta"] = float(unseen["accuracy"].mean(1)[small].min())
    metrics["accuracy_at_largest_beta"], metrics["rate_at_largest_beta"] = (
        float(unseen["accuracy"][-1].mean()),
        float(rate[-1]),
    )
    metrics["least_rate_at_95"] = float(
        rate[unseen["accuracy"].mean(1) >= 0.95].min(initial=rate.max())
    )
    metrics["best_held_out_information"], metrics["held_out_information_at_smallest_beta"] = (
        float(said.max()),
        float(said[0]),
    )
    return Result(
        metrics,
        {
            "curves.png": draw_curves(curves),
            "digits.png": draw_digits(seen, unseen, z, entropy, cfg),
        },
    )


def draw_curves(curves):
    """Computed points on the exact curves, under what data processing allows."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.8), layout="constrained")
    titles = {
        "binary": "a bit through a symmetric channel",
        "gaussian": "two correlated normal numbers",
    }
    for ax, (name, (r, said, exact)) in zip(figure.subplots(1, 2), curves.items(), strict=True):
        fine = np.linspace(0, max(r), 300)
        ax.plot(fine, np.minimum(fine, said.max()), ":", color="k", lw=1, label="data processing")
        ax.plot(fine, exact(fine), color="C1", label="exact")
        ax.plot(r, said, "o", ms=3.5, color="C0", label="self-consistent equations")
        ax.set(title=titles[name], xlabel="I(X; T), nats", ylabel="I(T; Y), nats")
        ax.legend(frameon=False, loc="lower right")
        ax.grid(alpha=0.3)
    return figure


def draw_digits(seen, unseen, z: np.ndarray, entropy: float, cfg: Config):
    """The information plane, accuracy and calibration, the gap to images held out; and below, the codes of held-out images at three betas."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 7.6), layout="constrained")
    plane, accuracy, gap, *codes = figure.subplots(2, 3).ravel()
    rate = seen["rate"].mean(1)
    widest = float(min(4 * entropy, rate.max()))
    plane.plot(
        [0, min(entropy, widest), widest],
        [0, min(entropy, widest), min(entropy, widest)],
        ":",
        color="k",
        lw=1,
        label="data processing",
    )
    for name, results in (("trained on", seen), ("held out", unseen)):
        plane.plot(
            results["rate"].mean(1),
            np.log(CLASSES) - results["loss"].mean(1),
            "-o",
            ms=4,
            label=name,
        )
        accuracy.semilogx(
            cfg.betas, results["accuracy"].mean(1), "-o", ms=4, label=f"accuracy, {name}"
        )
        gap.semilogx(cfg.betas, results["loss"].mean(1), "-o", ms=4, label=f"cross entropy, {name}")
    accuracy.semilogx(
        cfg.betas, unseen["calibration"].mean(1), "-s", ms=4, label="calibration error, held out"
    )
    plane.set(
        title="information plane",
        xlabel="rate R, a bound on I(Z; X), nats",
        ylabel="bound on I(Z; Y), nats",
        xlim=(-0.2, 1.1 * widest),
    )
    accuracy.set(title="accuracy and calibration", xlabel="beta")
    gap.set(title="generalisation", xlabel="beta", ylabel="nats", yscale="log")
    for ax in (plane, accuracy, gap):
        ax.legend(frameon=False, fontsize=9)
        ax.grid(alpha=0.3)
    for ax, i in zip(
        codes,
        np.searchsorted(cfg.betas, (cfg.betas[0], 1e-2, 0.3)).clip(max=len(cfg.betas) - 1),
        strict=True,
    ):
        centred = z[i] - z[i].mean(0)
        flat = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
        shown = ax.scatter(*flat.T, c=datasets.digit_vectors()[3], cmap="tab10", s=8)
        ax.set(
            title=f"codes of held-out digits, beta = {cfg.betas[i]:g}",
            xlabel="first principal direction",
            aspect="equal",
        )
    figure.colorbar(shown, ax=codes[-1], ticks=range(CLASSES), label="class")
    return figure
