"""Flat and sharp minima: batch size, warmup and SAM compared at the same training loss.

SGD noise drives small batches out of sharp minima into flat ones, which generalise better
(Hochreiter & Schmidhuber 1997; Keskar et al. 2017, arXiv:1609.04836). Gradient descent with rate h
is unstable if the largest eigenvalue of the Hessian exceeds 2/h (Cohen et al. 2021,
arXiv:2103.00065), so a larger rate also ends flatter. Warmup permits a larger rate (Gilmer et al.
2021, arXiv:2110.04369). SAM descends the gradient at the worst point nearby (Foret et al. 2021,
arXiv:2010.01412; `panorax.maths.optimisation.sharpness`).

Every run stops at the first check with a loss at or below the target on all training images. At
that point the study measures, for each method:

    top_eigenvalue, trace   largest eigenvalue and trace of the Hessian of the training loss
    sharpness               max over |e| <= rho of L(w + e) - L(w), in nats
    gap                     held-out minus training cross entropy, in nats
    held_out_error          share of held-out digits that are misclassified

Differences between methods are paired by seed: all methods start from the same networks.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from panorax.core import figures, spec
from panorax.core.errors import UserError
from panorax.core.ranges import Count, Positive, Whole, checked
from panorax.core.state import Result
from panorax.core.step import update
from panorax.core.study import Part, family
from panorax.data.datasets import Split, digit_cloud
from panorax.maths.estimates import mean_interval
from panorax.maths.lanczos import hutchinson, top_eigenpairs
from panorax.maths.optimisation.curvature import hessian_product
from panorax.maths.optimisation.sharpness import sam, sharpness
from panorax.nets import mlp
from panorax.ops.losses import cross_entropy

DIGITS = 1797
PAIRS = (
    ("large", "small"),
    ("small", "small_sam"),
    ("large", "large_sam"),
    ("large_fast", "large_fast_warmup"),
    ("large", "large_fast_warmup"),
)
"""methods whose paired differences are measured, the first minus the second"""
COMPARED = ("top_eigenvalue", "sharpness", "trace", "gap", "held_out_error")
"""quantities that are compared"""


class Method(NamedTuple):
    """Settings of SGD."""

    batch: int
    """images per step"""
    rate: float
    """learning rate"""
    warmup: int = 0
    """steps of linear warmup, 0 for none"""
    rho: float = 0.0
    """radius of SAM, 0 for plain SGD"""


class Minimum(NamedTuple):
    """The point at which training stopped; all fields have shape (seeds,)."""

    steps: Array
    """training steps"""
    loss: Array
    """cross entropy on all training images, in nats"""
    top_eigenvalue: Array
    """largest eigenvalue of the Hessian of the training loss"""
    trace: Array
    """trace of the Hessian, estimated by Hutchinson's method"""
    sharpness: Array
    """largest rise of the training loss within `rho`, in nats"""
    gap: Array
    """held-out minus training cross entropy, in nats"""
    held_out_error: Array
    """share of held-out images that are misclassified"""


@checked
class Config:
    seeds: Count = 5
    """seeds of each method; each has its own initial network and its own split of the digits"""
    training: Count = 512
    """training images; the rest of the 1,797 digits is held out"""
    hidden: tuple[Count, ...] = (128, 128)
    """widths of the hidden layers"""
    small: Count = 8
    """small batch size"""
    large: Count = 512
    """large batch size"""
    rate: Positive = 0.2
    """learning rate of both batch sizes, with and without SAM"""
    scale: Positive = 4.0
    """factor on the learning rate in the `large_fast` methods"""
    warmup: Count = 100
    """warmup steps of `large_fast_warmup`"""
    rho: Positive = 0.1
    """radius of SAM and of the measured sharpness"""
    target: Positive = 0.02
    """training loss in nats at which training stops"""
    every: Count = 2
    """steps between checks of the training loss"""
    most_steps: Count = 5000
    """largest number of training steps"""
    lanczos_steps: Count = 30
    """Lanczos steps for the largest eigenvalue"""
    probes: Count = 20
    """random probes for the trace"""
    seed: Whole = 0
    """seed of all random numbers"""

    def __post_init__(self):
        if self.seeds < 2:
            raise UserError("seeds must be at least 2")
        if not self.small < self.large <= self.training <= 1700:
            raise UserError(
                "small must be below large, large at most training, training at most 1700"
            )

    def methods(self) -> dict[str, Method]:
        """The methods that are compared, by name."""
        fast = self.rate * self.scale
        return {
            "small": Method(self.small, self.rate),
            "large": Method(self.large, self.rate),
            "large_fast": Method(self.large, fast),
            "large_fast_warmup": Method(self.large, fast, warmup=self.warmup),
            "small_sam": Method(self.small, self.rate, rho=self.rho),
            "large_sam": Method(self.large, self.rate, rho=self.rho),
        }


def mean_loss(params, x, label):
    """Cross entropy in nats of a tanh perceptron, which is twice differentiable everywhere."""
    return jnp.mean(cross_entropy(mlp.perceptron(params, x), label))


def train_to_target(key, params, x, label, method: Method, cfg: Config):
    """Trains by SGD until the loss on all images is at most `cfg.target`.

    Returns the parameters, the number of steps, and the loss on all images in nats. The loss is
    checked every `cfg.every` steps.
    """
    rate = method.rate
    if method.warmup:
        rate = lambda i: method.rate * jnp.minimum(1, (i + 1) / method.warmup)
    tx = optax.chain(sam(method.rho), optax.sgd(rate))

    def loss_fn(params, extra, rows, key):
        return mean_loss(params, x[rows], label[rows]), (extra, {})

    def step(carry, key):
        rows = jax.random.choice(key, len(x), (method.batch,), replace=False)
        params, opt, _, _ = update(loss_fn, tx, *carry, (), rows, key)
        return (params, opt), None

    def steps_to_next_check(carry):
        trained, i, _ = carry
        keys = jax.vmap(lambda j: jax.random.fold_in(key, i + j))(jnp.arange(cfg.every))
        (params, opt), _ = jax.lax.scan(step, trained, keys)
        return (params, opt), i + cfg.every, mean_loss(params, x, label)

    unfinished = lambda carry: (carry[2] > cfg.target) & (carry[1] < cfg.most_steps)
    start = (params, tx.init(params)), 0, mean_loss(params, x, label)
    (params, _), i, loss = jax.lax.while_loop(unfinished, steps_to_next_check, start)
    return params, i, loss


def split_digits(key, cfg: Config) -> Split:
    """A random split of the digits into training and held-out images."""
    order = jax.random.permutation(key, DIGITS)
    (x, x_held), (label, label_held) = (
        jnp.split(jnp.asarray(a)[order], [cfg.training]) for a in digit_cloud(DIGITS)
    )
    return Split(x, label, x_held, label_held)


def measure(key, params, steps, data: Split, cfg: Config) -> Minimum:
    """Curvature and generalisation of one network that was trained for `steps` steps."""
    key_top, key_trace = jax.random.split(key)
    training_loss = lambda params: mean_loss(params, data.x, data.label)
    product = lambda v: hessian_product(training_loss, params, v)
    loss = training_loss(params)
    wrong = jnp.argmax(mlp.perceptron(params, data.x_held), 1) != data.label_held
    return Minimum(
        steps=steps,
        loss=loss,
        top_eigenvalue=top_eigenpairs(product, params, 1, cfg.lanczos_steps, key_top)[0][0],
        trace=jnp.mean(hutchinson(product, params, cfg.probes, key_trace)),
        sharpness=sharpness(training_loss, params, cfg.rho),
        gap=mean_loss(params, data.x_held, data.label_held) - loss,
        held_out_error=jnp.mean(wrong.astype(jnp.float32)),
    )


def metrics_of(minima: dict[str, Minimum]) -> dict[str, float]:
    """Means over seeds, and 95% intervals of the paired differences."""
    means = {
        (quantity, name): x.mean()
        for name, minimum in minima.items()
        for quantity, x in minimum._asdict().items()
    }
    low, high = {}, {}
    for first, second in PAIRS:
        for quantity in COMPARED:
            pair = quantity, first, second
            difference = getattr(minima[first], quantity) - getattr(minima[second], quantity)
            low[pair], high[pair] = mean_interval(difference)
    losses = np.stack([minimum.loss for minimum in minima.values()])
    return {
        **family("{}_{}", means),
        **family("{}_{}_over_{}_low", low),
        **family("{}_{}_over_{}_high", high),
        "largest_loss": float(losses.max()),
        "smallest_loss": float(losses.min()),
    }


def minima(key, cfg: Config) -> Result:
    """Trains every method from the same networks and splits, and compares the minima."""
    split_keys = jax.vmap(lambda key: jax.random.split(key, 4))
    key_split, key_init, key_train, key_measure = split_keys(jax.random.split(key, cfg.seeds)).T
    data = jax.vmap(functools.partial(split_digits, cfg=cfg))(key_split)
    network = mlp.spec((64, *cfg.hidden, 10), mlp.fan_in(1.0))
    start = jax.vmap(functools.partial(spec.init, network))(key_init)
    measure_seeds = jax.jit(jax.vmap(functools.partial(measure, cfg=cfg)))
    by_method = {}
    for name, method in cfg.methods().items():
        train = functools.partial(train_to_target, method=method, cfg=cfg)
        params, steps, _ = jax.jit(jax.vmap(train))(key_train, start, data.x, data.label)
        minimum = measure_seeds(key_measure, params, steps, data)
        by_method[name] = jax.tree.map(lambda x: np.asarray(x, np.float64), minimum)
    return Result(metrics_of(by_method), {"flat_minima.png": draw_minima(by_method)})


def draw_minima(minima: dict[str, Minimum]):
    """Curvature and gap of every seed with their means, and held-out error over curvature."""
    figure, (eigenvalue, sharp, gap, error) = figures.panels(2, 2)
    draw_seeds(eigenvalue, {name: m.top_eigenvalue for name, m in minima.items()})
    draw_seeds(sharp, {name: m.sharpness for name, m in minima.items()})
    draw_seeds(gap, {name: m.gap for name, m in minima.items()})
    names = [name.replace("_", " ") for name in minima]
    for ax in (eigenvalue, sharp, gap):
        ax.set_yticks(-np.arange(len(minima)), names)
    for name, m in zip(names, minima.values()):
        error.plot(m.top_eigenvalue, 100 * m.held_out_error, "o", alpha=0.6, label=name)
    eigenvalue.set(title="curvature", xlabel="largest Hessian eigenvalue", xscale="log")
    sharp.set(title="sharpness", xlabel="largest rise of the loss within rho (nats)", xscale="log")
    gap.set(title="generalisation gap", xlabel="held-out minus training loss (nats)")
    error.set(title="held-out error over curvature", ylabel="held-out error (%)", xscale="log")
    error.set_xlabel("largest Hessian eigenvalue")
    return figures.legends(figure)


def draw_seeds(ax, values: dict[str, np.ndarray]):
    """One row per method: a dot for every seed, a bar at the mean."""
    for row, (color, x) in enumerate(zip(figures.COLORS, values.values())):
        ax.plot(x, np.full(len(x), -row), "o", color=color, alpha=0.6)
        ax.plot(x.mean(), -row, "|", color="black", ms=16)


def study(cfg: Config) -> dict[str, Part]:
    """One part, because all comparisons are paired by seed."""
    return {"minima": functools.partial(minima, cfg=cfg)}
