"""Losses as negative log likelihoods: squared error, cross entropy, label smoothing, and the focal loss on rare objects.

    Gaussian noise:   -log p(y) = (y - m)^2 / (2 v) + const, so the mean minimises it        Laplace noise:  |y - m| / b, so the median does
    classes:          H(p, q) = H(p) + KL(p | q), so cross entropy is smallest at q = p, where it is the entropy of p
    rare objects:     FL = -a (1 - p_y)^gamma log p_y: of a million empty windows that are known to be empty, hardly anything is left

The last is tried as its authors met the problem: windows at every position of pictures with few objects in them, one class of which is searched for,
about one window in a thousand. Source: Lin et al. 2017 (arXiv:1708.02002); Bishop, Pattern Recognition and Machine Learning, sections 1.2.5 and 1.6.1.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.core.ranges import Count, Whole, checked
from panorax.core.state import Result
from panorax.core.step import descend
from panorax.data import datasets
from panorax.nets import mlp
from panorax.ops import losses

SIDE, GRID = 8, 6
"""pixels of a digit, and the rows and columns of cells of a picture, each twice as wide as a digit"""


@checked
class Config:
    pictures: Count = 60
    """to train on, and as many to test on, made of digits that are not trained on"""
    sought: Whole = 8
    """the class that is searched for"""
    rare: Count = 8
    """objects of it in a picture"""
    others: Count = 16
    """objects of other classes in a picture"""
    hidden: Count = 64
    steps: Count = 3000
    batch: Count = 512
    seeds: Count = 5
    draws: Count = 2000
    """samples of each of the estimators of a mean"""
    seed: Whole = 0

    def __post_init__(self):
        if self.sought > 9 or self.rare + self.others > GRID**2:
            raise UserError(f"sought must be a digit, and rare + others at most {GRID**2}")


def average_precision(score: np.ndarray, label: np.ndarray) -> float:
    """Area under precision over recall, sum_k (R_k - R_{k-1}) P_k over the scores from high to low, equal scores taken together.

    Raises ValueError where no label is 1.
    """
    if not np.any(label == 1):
        raise ValueError("precision and recall need a label that is 1")
    order = np.argsort(-score, kind="stable")
    hit, ranked = np.cumsum(label[order]), score[order]
    last = np.append(ranked[1:] != ranked[:-1], True)
    hit, found = hit[last].astype(np.float64), np.flatnonzero(last) + 1
    return float(np.sum(np.diff(hit, prepend=0) * hit / found) / hit[-1])


def picture(
    rng: np.random.Generator, x: np.ndarray, label: np.ndarray, cfg: Config
) -> tuple[np.ndarray, np.ndarray]:
    """Digits in cells of a grid, at a random place within each: all windows (N, 64), and 1 for those that hold a digit of the class sought, whole."""
    room = 2 * SIDE
    page, target = (
        np.full((GRID * room, GRID * room), -1, np.float32),
        np.zeros((GRID * room - SIDE + 1,) * 2, np.float32),
    )
    for i, cell in enumerate(rng.permutation(GRID**2)[: cfg.rare + cfg.others]):
        wanted = i < cfg.rare
        digit = x[rng.choice(np.flatnonzero((label == cfg.sought) == wanted))]
        row, column = (
            room * (cell // GRID) + rng.integers(SIDE),
            room * (cell % GRID) + rng.integers(SIDE),
        )
        page[row : row + SIDE, column : column + SIDE] = digit[..., 0]
        target[row, column] = wanted
    windows = np.lib.stride_tricks.sliding_window_view(page, (SIDE, SIDE))
    return windows.reshape(-1, SIDE**2), target.ravel()


def windows(
    seed: int, n: int, x: np.ndarray, label: np.ndarray, cfg: Config
) -> tuple[np.ndarray, np.ndarray]:
    """All windows of n pictures."""
    rng = np.random.default_rng(seed)
    made = [picture(rng, x, label, cfg) for _ in range(n)]
    return tuple(np.concatenate(part) for part in zip(*made, strict=True))


def found(train, test, loss, cfg: Config, key) -> np.ndarray:
    """Average precision on the test windows of a perceptron trained with `loss`, one for each seed, all trained at once."""
    spec, tx = (
        mlp.spec((SIDE**2, cfg.hidden, cfg.hidden, 1)),
        optax.adam(optax.cosine_decay_schedule(1e-3, cfg.steps)),
    )
    x, y = (jnp.asarray(part) for part in train)
    rare_at_first = np.log(
        0.01 / 0.99
    )  # windows start as objects with 1%, as in the paper, section 3.3
    score = lambda params, x: mlp.perceptron(params, x)[:, 0] + rare_at_first

    def trained(key):
        key_init, key_batch = jax.random.split(key)

        def loss_of(params, key):
            rows = jax.random.randint(key, (cfg.batch,), 0, len(x))
            # a mean over windows would make rare objects rarer still: normalised by their number, as the paper does
            return jnp.sum(loss(score(params, x[rows]), y[rows])) / jnp.maximum(jnp.sum(y[rows]), 1)

        return descend(
            loss_of, tx, core_spec.init(spec, key_init), jax.random.split(key_batch, cfg.steps)
        )[0]

    params = jax.jit(jax.vmap(trained))(jax.random.split(key, cfg.seeds))
    scores = np.asarray(jax.jit(jax.vmap(score, (0, None)))(params, jnp.asarray(test[0])))
    return np.array([average_precision(one, test[1]) for one in scores])


def estimators(key, cfg: Config) -> dict[str, float]:
    """Variance of the mean and of the median of 101 samples, times 101, under Gaussian and Laplace noise of variance 1, and squared error where one
    sample in twenty is an outlier."""
    key_gauss, key_laplace, key_outlier = jax.random.split(key, 3)
    n = (cfg.draws, 101)
    gauss, laplace = jax.random.normal(key_gauss, n), jax.random.laplace(key_laplace, n) / 2**0.5
    outliers = jnp.where(jax.random.bernoulli(key_outlier, 0.05, n), 10.0, gauss)
    spread = lambda estimate, x: float(101 * jnp.mean(jnp.square(estimate(x, 1))))
    return {f"{name}_{noise}": spread(f, x) for noise, x in (("gauss", gauss), ("laplace", laplace), ("outliers", outliers))
            for name, f in (("mean", jnp.mean), ("median", jnp.median))}  # fmt: skip


def study(cfg: Config, key) -> Result:
    """Estimators, the identity of cross entropy, and average precision with each loss, over `cfg.seeds` seeds."""
    key_estimators, key_p, key_q, key_train = jax.random.split(key, 4)
    metrics = estimators(key_estimators, cfg)
    p, q = jax.random.normal(key_p, (1000, 10)), jax.random.normal(key_q, (1000, 10))
    entropy, cross = (
        -jnp.sum(jax.nn.softmax(p) * jax.nn.log_softmax(other), -1) for other in (p, q)
    )
    metrics["cross_entropy_identity_gap"] = float(
        jnp.abs(cross - entropy - losses.categorical_kl(p, q)).max()
    )

    x, label, held_x, held_label = datasets.digits()
    train, test = (
        windows(cfg.seed, cfg.pictures, x, label, cfg),
        windows(cfg.seed + 1, cfg.pictures, held_x, held_label, cfg),
    )
    metrics["share_of_positives"] = float(train[1].mean())
    precision = {}
    for name, loss in (("cross_entropy", losses.binary_cross_entropy), ("focal", losses.focal)):
        precision[name] = found(train, test, loss, cfg, key_train)
        metrics[f"average_precision_{name}"] = float(np.median(precision[name]))
    metrics["seeds_where_focal_wins"] = float(
        np.sum(precision["focal"] > precision["cross_entropy"])
    )
    return Result(metrics, {"losses.png": draw(precision, test, cfg)})


def draw(precision, test, cfg: Config):
    """A picture that is searched, the losses over the probability of the truth, and the precision of every seed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 4), layout="constrained")
    page, curves, dots = figure.subplots(1, 3)
    side = 2 * SIDE * GRID - SIDE + 1
    seen = test[0][: side**2].reshape(side, side, SIDE, SIDE)
    above = np.concatenate([seen[:, :, 0, 0], seen[:, -1, 0, 1:]], 1)
    page.imshow(
        np.concatenate([above, np.concatenate([seen[-1, :, 1:, 0].T, seen[-1, -1, 1:, 1:]], 1)]),
        cmap="gray_r",
    )
    rows, columns = np.nonzero(test[1][: side**2].reshape(side, side))
    for row, column in zip(rows, columns, strict=True):
        page.add_patch(_frame(column, row))
    page.set(title=f"a window at every place; class {cfg.sought} is framed")
    page.set_axis_off()
    p = np.linspace(0.005, 0.995, 200)
    logit = jnp.asarray(np.log(p / (1 - p)), jnp.float32)
    for gamma in (0.0, 0.5, 1.0, 2.0, 5.0):
        curves.plot(
            p, 2 * losses.focal(logit, jnp.ones(200), gamma, 0.5), label=f"gamma = {gamma:g}"
        )
    curves.set(title="focal loss", xlabel="probability of the truth", ylim=(0, 4))
    curves.legend(frameon=False)
    for i, (name, values) in enumerate(precision.items()):
        dots.plot(np.full(len(values), i), values, "o", label=name.replace("_", " "))
    dots.set(
        title="average precision, each seed",
        xticks=range(len(precision)),
        xticklabels=[name.replace("_", " ") for name in precision],
        xlim=(-0.5, 1.5),
    )
    dots.grid(alpha=0.3)
    return figure


def _frame(column: int, row: int):
    from matplotlib.patches import Rectangle

    return Rectangle((column - 0.5, row - 0.5), SIDE, SIDE, fill=False, edgecolor="C3")
