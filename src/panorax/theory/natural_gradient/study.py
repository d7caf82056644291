"""Natural gradients measured: invariance to the parameters, the blocks of K-FAC in closed form, steps of K-FAC beside Adam and SGD, two Fisher matrices apart.

The matrices are those of `panorax.maths.optimisation.fisher`, K-FAC is `panorax.maths.optimisation.kfac`, the invariances are derived in `panorax.theory.natural_gradient.invariance`. K-FAC trains
the autoencoder by its quadratic model and the convolutional classifier in a trust region; the rate of Adam, rate and momentum of SGD (Nesterov's), and the
damping of K-FAC are those of a grid with the fewest steps to the target, as a median over the seeds. Every method sees the same batches.

On a line fitted by least squares, t = p_0 + p_1 x + noise of variance v, the Fisher matrix of the model (variance 1) is the Hessian E [1 x]^T [1 x], and a
natural step ends in the minimum. The empirical matrix is r^2 times as large where residuals are of size r: v instead of 1 at the minimum, and huge far away.
Source: Martens & Grosse 2015, section 13; Kunstner et al. 2019, section 3 and figure 1.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from panorax.core.errors import UserError
from panorax.core.ranges import Count, Positive, PositiveShare, Whole, checked
from panorax.core.state import Result
from panorax.maths.optimisation.fisher import (
    GAUSSIAN,
    empirical_fisher_matrix,
    fisher_matrix,
    natural_gradient,
    sampled_fisher_matrix,
)
from panorax.maths.optimisation.kfac import adaptive_kfac, kfac
from panorax.theory.natural_gradient.invariance import (
    affine_gaps,
    block_gap,
    curved_gaps,
    kfac_gaps,
)
from panorax.theory.natural_gradient.kfac_training import (
    autoencoder,
    classifier,
    smoothed,
    start,
    steps_to,
    train,
)

RATES = np.array([0.01, 0.001])
GRID = np.linspace(-3, 3, 13)
"""of p_0 - 1 and p_1 - 1, where the true line has p = (1, 1)"""


@checked
class Config:
    sizes: tuple[Count, ...] = (64, 200, 100, 50, 10, 50, 100, 200, 64)
    """of the autoencoder"""
    target: Positive = 1.0
    """nats a picture above the least that there could be"""
    steps: Count = 2000
    """of Adam and SGD at most"""
    kfac_steps: Count = 250
    batch: Count = 512
    channels: tuple[Count, ...] = (8, 16, 16)
    """of the classifier"""
    classifier_target: Positive = 0.05
    """cross entropy in nats"""
    classifier_steps: Count = 100
    adam_rates: tuple[Positive, ...] = (2e-3, 5e-3, 1e-2, 3e-2, 0.1)
    sgd_rates: tuple[Positive, ...] = (0.01, 0.02, 0.05, 0.1)
    sgd_momenta: tuple[PositiveShare, ...] = (0.9, 0.95, 0.99)
    dampings: tuple[Positive, ...] = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
    """of K-FAC: where it starts in the autoencoder, where it stays in the classifier"""
    seeds: Count = 3
    points: Count = 3000
    """of the line"""
    seed: Whole = 0

    def __post_init__(self):
        if not (
            self.adam_rates
            and self.sgd_rates
            and self.sgd_momenta
            and self.dampings
            and self.channels
        ):
            raise UserError(
                "adam-rates, sgd-rates, sgd-momenta, dampings and channels must not be empty"
            )
        if min(self.steps, self.kfac_steps, self.classifier_steps) < 10 or self.points < 10:
            raise UserError("steps, kfac-steps, classifier-steps and points must be at least 10")
        if max(self.sgd_momenta) == 1:
            raise UserError("sgd-momenta must be below 1")


def line(points: int, variance: float, rng: np.random.Generator):
    """(outputs of p, targets) of the line at the top of this file with p = (1, 1)."""
    x = jnp.asarray(1 + rng.normal(size=points), jnp.float32)
    t = 1 + x + variance**0.5 * jnp.asarray(rng.normal(size=points), jnp.float32)
    return lambda p: (p[0] + p[1] * x)[:, None], t[:, None]


def two_matrices(cfg: Config, rng: np.random.Generator, key):
    """Metrics of the two Fisher matrices of the line, and on the grid the directions down the plain, natural and empirical gradient, with paths along them."""
    metrics, fields, paths = {}, {}, {}
    for name, variance in (("right", 1.0), ("wrong", 4.0)):
        outputs, t = line(cfg.points, variance, rng)
        losses = lambda p, outputs=outputs, t=t: GAUSSIAN.loss(outputs(p), t)
        loss = lambda p, losses=losses: jnp.mean(losses(p))
        fisher = jax.jit(lambda p, outputs=outputs: fisher_matrix(outputs, GAUSSIAN, p))(
            jnp.ones(2)
        )
        gradient, empirical = (
            jax.grad(loss),
            jax.jit(lambda p, losses=losses: empirical_fisher_matrix(losses, p)),
        )
        least = jax.jit(
            lambda p, gradient=gradient, fisher=fisher: p - natural_gradient(fisher, gradient(p))
        )(jnp.ones(2))
        metrics[f"empirical_over_fisher_{name}_noise"] = float(
            jnp.trace(empirical(least)) / jnp.trace(fisher)
        )
    sampled = jax.jit(lambda p: sampled_fisher_matrix(outputs, GAUSSIAN, p, key, samples=100))(
        least
    )
    metrics["sampled_fisher_gap"] = float(
        jnp.linalg.norm(sampled - fisher) / jnp.linalg.norm(fisher)
    )
    rules = {
        "gradient": (gradient, 0.1),
        "natural gradient": (lambda p: natural_gradient(fisher, gradient(p)), 0.1),
        "empirical Fisher": (lambda p: natural_gradient(empirical(p), gradient(p), 1e-6), 1.0),
    }
    nodes = 1 + jnp.stack(jnp.meshgrid(GRID, GRID), -1).reshape(-1, 2).astype(jnp.float32)
    starts = 1 + jnp.array([[-2.6, -1.0], [2.6, 2.6], [2.6, -1.8], [-1.5, 2.8]])
    for name, (rule, rate) in rules.items():
        step = lambda p, _, rule=rule, rate=rate: (p - rate * rule(p), p)
        fields[name] = -np.asarray(jax.jit(jax.vmap(rule))(nodes))
        paths[name] = np.asarray(
            jax.jit(jax.vmap(lambda p, step=step: jax.lax.scan(step, p, length=60)[1]))(starts)
        )
    toward = np.asarray(least)[None] - np.asarray(nodes)
    far = np.linalg.norm(toward, axis=1) > 0.3
    for name, field in fields.items():
        cosine = np.sum(field * toward, 1) / (
            np.linalg.norm(field, axis=1) * np.linalg.norm(toward, axis=1)
        )
        metrics[f"least_cosine_{name.split()[0]}"] = float(cosine[far].min())
    metrics["length_empirical_far_over_near"] = length_ratio(rules["empirical Fisher"][0], least)
    metrics["length_natural_far_over_near"] = length_ratio(rules["natural gradient"][0], least)
    return metrics, (np.asarray(nodes), fields, paths, np.asarray(least), jax.jit(jax.vmap(loss)))


def length_ratio(rule, least) -> float:
    """How much longer the step is 30 away from the minimum than 3 away, over 10: 1 for a step that knows the curvature."""
    far, near = jax.jit(jax.vmap(rule))(least[None] + jnp.array([[30.0, 0.0], [3.0, 0.0]]))
    return float(jnp.linalg.norm(far) / (10 * jnp.linalg.norm(near)))


def race(problem, contenders: dict, target: float, window: int, batch: int, seeds: int, key):
    """By name: the median steps to the target over the seeds, with the setting whose median is least (among equals, whose last loss is); losses of the seeds, and
    seconds a step. One choice for all seeds, made on these seeds, which flatters every method alike.

    `contenders` gives by name (make a transformation of a setting, settings, steps)."""
    most = max(steps for _, _, steps in contenders.values())
    drawn = [
        *map(jax.jit(lambda key: start(problem, key, most, batch)), jax.random.split(key, seeds))
    ]
    found = {}
    for name, (make, settings, steps) in contenders.items():
        run = jax.jit(
            lambda setting, params, rows, keys, make=make, steps=steps: train(
                problem, make(setting), params, rows[:steps], keys[:steps]
            )
        )
        run = run.lower(jnp.asarray(settings[0], jnp.float32), *drawn[0]).compile()
        before, tried = time.process_time(), []
        for setting in settings:
            losses = np.stack(
                [np.asarray(run(jnp.asarray(setting, jnp.float32), *of_seed)) for of_seed in drawn]
            )
            last = np.median([np.nan_to_num(smoothed(one)[-1], nan=np.inf) for one in losses])
            tried.append(
                (
                    float(np.median([steps_to(one, target, window) for one in losses])),
                    last,
                    setting,
                    losses,
                )
            )
        seconds = (time.process_time() - before) / (len(settings) * losses.size)
        steps_needed, _, setting, losses = min(tried, key=lambda result: result[:2])
        found[name] = (steps_needed, setting, losses, seconds)
    return found


def study(cfg: Config, key) -> Result:
    """Everything at the top of this file. Seconds of the processor, which differ from run to run, are in `seconds.txt` and in the figure."""
    key_autoencoder, key_classifier, key_sampled = jax.random.split(key, 3)
    rng = np.random.default_rng(cfg.seed)
    with jax.enable_x64(True):
        metrics = {
            f"affine_gap_{name}": value for name, value in affine_gaps(rng, (3, 4, 2), 100).items()
        }
        curved = curved_gaps(rng, (3, 4, 2), 100, RATES)
        metrics["curved_gap_order"] = 1 + float(
            np.log(curved[0] / curved[1]) / np.log(RATES[0] / RATES[1])
        )
        metrics["kfac_gap"], metrics["kfac_gap_damped"] = map(
            float, kfac_gaps(rng, (3, 4, 4, 2), 200, np.array([0.0, 0.1]))
        )
        metrics["block_gap_one_layer"] = block_gap(rng, (4, 3), 50, jnp.tanh)
        metrics["block_gap_deep_linear"] = block_gap(rng, (4, 5, 3, 2), 50, lambda s: s)
        metrics["block_gap_tanh"] = block_gap(rng, (4, 5, 3, 2), 50, jnp.tanh)
    matrices, fields = two_matrices(cfg, rng, key_sampled)
    adam, sgd = (
        (optax.adam, cfg.adam_rates),
        [(rate, momentum) for momentum in cfg.sgd_momenta for rate in cfg.sgd_rates],
    )
    races = {
        "autoencoder": (race(autoencoder(cfg.sizes), {
            "kfac": (adaptive_kfac, cfg.dampings, cfg.kfac_steps), "adam": (*adam, cfg.steps),
            "sgd": (lambda both: optax.sgd(both[0], both[1], nesterov=True), sgd, cfg.steps),
        }, cfg.target, 10, cfg.batch, cfg.seeds, key_autoencoder), cfg.target, 10),
        "classifier": (race(classifier(cfg.channels), {
            "kfac": (lambda damping: kfac(0.1, damping, every=2, kl_clip=0.03), cfg.dampings, cfg.classifier_steps),
            "adam": (*adam, cfg.classifier_steps),
        }, cfg.classifier_target, 5, cfg.batch, cfg.seeds, key_classifier), cfg.classifier_target, 5),
    }  # fmt: skip
    lines = []
    for problem, (found, target, _) in races.items():
        for name, (steps, best, _, seconds) in found.items():
            metrics[f"{problem}_steps_{name}"] = steps
            metrics |= {
                f"{problem}_best_{name}{'' if j == 0 else '_momentum'}": float(x)
                for j, x in enumerate(np.atleast_1d(best))
            }
            lines.append(
                f"{problem:12} {name:5} setting {best}: {steps:g} steps to {target:g}, {1e3 * seconds:.2f} ms each, {steps * seconds:.2f} s"
            )
    figures = {
        "natural_gradient.png": draw_fields(*fields),
        "kfac.png": draw_races(races),
        "seconds.txt": "\n".join(lines) + "\n",
    }
    return Result(metrics | matrices, figures)


def draw_fields(nodes, fields, paths, least, loss):
    """Directions down the loss over (p_0, p_1), as long as the root of the step, and paths of 60 steps, the last ones at ten times the rate of the others."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 5), layout="constrained")
    side = np.linspace(-2.4, 4.4, 80, dtype=np.float32)
    height = np.asarray(
        loss(jnp.asarray(np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)))
    ).reshape(80, 80)
    for ax, (name, field) in zip(figure.subplots(1, 3, sharey=True), fields.items(), strict=True):
        ax.contour(side, side, height, levels=12, colors="0.85")
        size = np.linalg.norm(field, axis=1, keepdims=True)
        ax.quiver(*nodes.T, *(field / np.sqrt(np.maximum(size, 1e-9))).T, color="0.55", width=0.003)
        for path in paths[name]:
            ax.plot(*path.T, "-o", ms=3, lw=1.2)
        ax.plot(*least, "k*", ms=12)
        ax.set(title=name, xlabel="p_0", xlim=(-2.4, 4.4), ylim=(-2.4, 4.4))
    figure.axes[0].set_ylabel("p_1")
    return figure


def draw_races(races):
    """The losses of every seed over steps and over seconds of the processor, the target dotted."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 7), layout="constrained")
    names = {"kfac": "K-FAC", "adam": "Adam", "sgd": "SGD with momentum"}
    for row, (problem, (found, target, window)) in zip(
        figure.subplots(2, 2), races.items(), strict=True
    ):
        for ax, unit in zip(row, ("step", "second of the processor"), strict=True):
            for i, (name, (_, _, losses, seconds)) in enumerate(found.items()):
                for j, one in enumerate(losses):
                    shown = smoothed(one, window)
                    at = (np.arange(len(shown)) + window) * (1 if unit == "step" else seconds)
                    ax.loglog(at, shown, color=f"C{i}", lw=1, label=None if j else names[name])
            ax.axhline(target, color="0.4", ls=":")
            ax.set(title=problem, xlabel=unit, ylabel="loss in nats")
            ax.grid(alpha=0.3)
            ax.legend(frameon=False)
    return figure
