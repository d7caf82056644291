"""Losses as negative log likelihoods: squared error, cross entropy, and focal loss on rare objects.

    Gaussian noise:  -log p(y) = (y - m)^2 / (2 v) + const, minimised by the mean
    Laplace noise:   -log p(y) = |y - m| / b + const, minimised by the median
    classes:         H(p, q) = H(p) + KL(p | q), so cross entropy is smallest at q = p
    rare objects:    FL = -a (1 - p_y)^gamma log p_y, nearly zero for windows classified with ease

Focal loss is tested on dense detection, the problem of its authors: one class of digits is searched
for in windows at every position of pictures, and about one window in a thousand holds a digit of
this class.

    mean_*, median_*          101 times the mean squared error of the mean and of the median of 101
                              samples: Gaussian, Laplace, or Gaussian with 5% outliers
    cross_entropy_identity_gap   largest |H(p, q) - H(p) - KL(p | q)|, in nats
    share_of_positives        share of test windows that hold a digit of the class
    average_precision_*       median over seeds, on held-out pictures
    seeds_where_focal_wins    seeds whose average precision is higher with focal loss

Source: Lin et al. 2017 (arXiv:1708.02002); Bishop, Pattern Recognition and Machine Learning,
sections 1.2.5 and 1.6.1.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from panorax.core import figures
from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.core.ranges import Count, Whole, checked
from panorax.core.state import Result
from panorax.core.step import descend
from panorax.core.study import Part, family
from panorax.data import datasets
from panorax.nets import mlp
from panorax.ops import losses

SIDE = 8  # pixels of a digit
GRID = 6  # rows and columns of cells in a picture
CELL = 2 * SIDE  # pixels of a cell
PRIOR = 0.01  # probability of an object at the start of training (Lin et al., section 3.3)
SAMPLES = 101  # samples of each estimate of a mean


@checked
class Config:
    pictures: Count = 60
    """pictures to train on, and pictures of held-out digits to test on"""
    sought: Whole = 8
    """class of digits that is searched for, 0 to 9"""
    rare: Count = 8
    """digits of the class searched for, per picture"""
    others: Count = 16
    """digits of other classes per picture"""
    hidden: Count = 64
    """width of both hidden layers"""
    steps: Count = 3000
    """training steps"""
    batch: Count = 512
    """windows per step [B]"""
    seeds: Count = 5
    """networks trained with each loss"""
    draws: Count = 2000
    """estimates averaged in each mean squared error"""
    seed: Whole = 0
    """seed of all random numbers"""

    def __post_init__(self):
        if self.sought > 9 or self.rare + self.others > GRID**2:
            raise UserError(f"sought must be a digit, and rare + others at most {GRID**2}")


def average_precision(score: np.ndarray, label: np.ndarray) -> float:
    """Area under precision over recall, sum_k (R_k - R_{k-1}) P_k from high to low scores.

    Equal scores share one threshold. score: (N,).  label: (N,) of 0 and 1. Raises ValueError if no
    label is 1.
    """
    if not np.any(label == 1):
        raise ValueError("precision and recall need a label that is 1")
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    last = np.append(ranked[1:] != ranked[:-1], True)
    hits = np.cumsum(label[order])[last].astype(np.float64)
    count = np.flatnonzero(last) + 1
    return float(np.sum(np.diff(hits, prepend=0) * hits / count) / hits[-1])


class Picture(NamedTuple):
    """Digits at random places on a page."""

    page: np.ndarray
    """pixels in [-1, 1], float32 (96, 96)"""
    target: np.ndarray
    """1 at the upper left pixel of each digit of the class, float32 (89, 89)"""


def picture(rng: np.random.Generator, x: np.ndarray, label: np.ndarray, cfg: Config) -> Picture:
    """Draws digits, puts each into its own cell of the grid, and shifts it within the cell."""
    page = np.full((GRID * CELL, GRID * CELL), -1, np.float32)
    target = np.zeros((GRID * CELL - SIDE + 1,) * 2, np.float32)
    for i, cell in enumerate(rng.permutation(GRID**2)[: cfg.rare + cfg.others]):
        is_sought = i < cfg.rare
        digit = x[rng.choice(np.flatnonzero((label == cfg.sought) == is_sought))]
        row = CELL * (cell // GRID) + rng.integers(SIDE)
        column = CELL * (cell % GRID) + rng.integers(SIDE)
        page[row : row + SIDE, column : column + SIDE] = digit[..., 0]
        target[row, column] = is_sought
    return Picture(page, target)


class Windows(NamedTuple):
    """All windows of one or several pictures."""

    x: np.ndarray
    """pixels of each window, float32 (N, 64)"""
    label: np.ndarray
    """1 if the window holds a whole digit of the class, else 0, float32 (N,)"""


def windows(pictures: list[Picture]) -> Windows:
    """The windows at every position of the pictures, in the order of `Picture.target`."""
    views = [np.lib.stride_tricks.sliding_window_view(p.page, (SIDE, SIDE)) for p in pictures]
    x = np.concatenate([view.reshape(-1, SIDE**2) for view in views])
    return Windows(x, np.concatenate([p.target.ravel() for p in pictures]))


def precisions(key, train: Windows, test: Windows, loss: Callable, cfg: Config) -> np.ndarray:
    """Average precision on `test` of perceptrons trained on `train`, (seeds,).

    loss: (logit, label) -> loss of each window. All seeds train in one program.
    """
    spec = mlp.spec((SIDE**2, cfg.hidden, cfg.hidden, 1))
    tx = optax.adam(optax.cosine_decay_schedule(1e-3, cfg.steps))
    x, y = jnp.asarray(train.x), jnp.asarray(train.label)
    score = lambda params, x: mlp.perceptron(params, x)[:, 0] + np.log(PRIOR / (1 - PRIOR))

    def trained(key):
        key_init, key_batch = jax.random.split(key)

        def batch_loss(params, key):
            rows = jax.random.randint(key, (cfg.batch,), 0, len(x))
            total = jnp.sum(loss(score(params, x[rows]), y[rows]))
            return total / jnp.maximum(jnp.sum(y[rows]), 1)  # per object, as in the paper

        keys = jax.random.split(key_batch, cfg.steps)
        params, _ = descend(batch_loss, tx, core_spec.init(spec, key_init), keys)
        return params

    params = jax.jit(jax.vmap(trained))(jax.random.split(key, cfg.seeds))
    scores = np.asarray(jax.jit(jax.vmap(score, (0, None)))(params, jnp.asarray(test.x)))
    return np.array([average_precision(row, test.label) for row in scores])


def estimators(key, cfg: Config) -> Result:
    """101 times the mean squared error of mean and median, for three kinds of noise around 0.
    Gaussian and Laplace noise have variance 1; the third kind is Gaussian with outliers at 10.
    """
    key_gauss, key_laplace, key_outlier = jax.random.split(key, 3)
    shape = (cfg.draws, SAMPLES)
    gauss = jax.random.normal(key_gauss, shape)
    outlier = jax.random.bernoulli(key_outlier, 0.05, shape)
    samples = {
        "gauss": gauss,
        "laplace": jax.random.laplace(key_laplace, shape) / 2**0.5,
        "outliers": jnp.where(outlier, 10.0, gauss),
    }
    error = lambda estimates: SAMPLES * jnp.mean(jnp.square(estimates))
    mean = {noise: error(jnp.mean(x, 1)) for noise, x in samples.items()}
    median = {noise: error(jnp.median(x, 1)) for noise, x in samples.items()}
    return Result(family("mean_{}", mean) | family("median_{}", median))


def identity(key) -> Result:
    """H(p, q) = H(p) + KL(p | q) on 1000 random pairs of distributions over 10 classes."""
    p, q = jax.random.normal(key, (2, 1000, 10))
    cross = lambda logits: -jnp.sum(jax.nn.softmax(p) * jax.nn.log_softmax(logits), -1)
    gap = jnp.abs(cross(q) - cross(p) - losses.categorical_kl(p, q))
    return Result({"cross_entropy_identity_gap": float(gap.max())})


def rare_objects(key, cfg: Config) -> Result:
    """Average precision with cross entropy and with focal loss, from the same keys."""
    x, label, held_x, held_label = datasets.digits()
    rng, held_rng = (np.random.default_rng(cfg.seed + i) for i in range(2))
    train = windows([picture(rng, x, label, cfg) for _ in range(cfg.pictures)])
    pictures = [picture(held_rng, held_x, held_label, cfg) for _ in range(cfg.pictures)]
    test = windows(pictures)
    precision = {
        "cross_entropy": precisions(key, train, test, losses.binary_cross_entropy, cfg),
        "focal": precisions(key, train, test, losses.focal, cfg),
    }
    wins = precision["focal"] > precision["cross_entropy"]
    medians = {name: np.median(values) for name, values in precision.items()}
    metrics = family("average_precision_{}", medians)
    metrics["share_of_positives"] = float(test.label.mean())
    metrics["seeds_where_focal_wins"] = float(np.sum(wins))
    return Result(metrics, {"rare_objects.png": draw(pictures[0], precision, cfg)})


def draw(first: Picture, precision: dict[str, np.ndarray], cfg: Config):
    """A test picture, the focal loss, and the average precision of every seed."""
    figure, (page, curves, dots) = figures.panels(3)
    draw_picture(page, first)
    page.set(title=f"test picture, class {cfg.sought} framed")
    p = np.linspace(0.005, 0.995, 200)
    logit = jnp.asarray(np.log(p / (1 - p)), jnp.float32)
    for gamma in (0.0, 0.5, 1.0, 2.0, 5.0):
        loss = 2 * losses.focal(logit, jnp.ones(len(p)), gamma, 0.5)
        curves.plot(p, loss, label=f"gamma = {gamma:g}")
    curves.set(title="focal loss, a = 1", xlabel="probability of the true class")
    curves.set(ylabel="loss (nats)", ylim=(0, 4))
    for i, (name, values) in enumerate(precision.items()):
        dots.plot(np.full(len(values), i), values, "o", label=name.replace("_", " "))
    dots.set(title="held-out pictures, one point per seed", ylabel="average precision")
    dots.set(xticks=[], xlabel="training loss", xlim=(-0.5, 1.5))
    return figures.legends(figure)


def draw_picture(ax, picture: Picture):
    """The page, with a frame around each digit of the class."""
    from matplotlib.patches import Rectangle

    ax.imshow(picture.page, cmap="gray_r")
    for row, column in np.argwhere(picture.target):
        corner = (column - 0.5, row - 0.5)
        frame = Rectangle(corner, SIDE, SIDE, fill=False, edgecolor=figures.COLORS[3])
        ax.add_patch(frame)
    ax.set_axis_off()


def study(cfg: Config) -> dict[str, Part]:
    """Estimators of a mean, the identity of cross entropy, and detection of rare objects."""
    return {
        "estimators": functools.partial(estimators, cfg=cfg),
        "cross_entropy": identity,
        "rare_objects": functools.partial(rare_objects, cfg=cfg),
    }
