"""The spectrum of the Hessian of a network, at the start, in the middle and at the end of training, without the Hessian.

For a loss l of outputs z the Hessian has two parts, H = G + R, with J = dz / dp,

    G = 1/N sum_n J_n^T (d^2 l / dz^2) J_n   (Gauss-Newton, never negative),      R = 1/N sum_n sum_c (dl / dz_nc) d^2 z_nc / dp^2   (of either sign).

R fades with the residual dl/dz, and the negative eigenvalues with it. G is the covariance of N C gradients; the means of these over each class, C of
them whose sum nearly vanishes, lie far apart and stand out as about C - 1 large eigenvalues, all others gather near zero. The density comes from
stochastic Lanczos quadrature (`panorax.maths.lanczos`), and is set beside the eigenvalues of a network small enough for all of them.
Source: Ghorbani, Krishnan & Xiao 2019 (arXiv:1901.10159); Sagun et al. 2017 (arXiv:1706.04454); Papyan 2019 (arXiv:1901.08244).
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from panorax.core import spec as core_spec
from panorax.core import struct
from panorax.core.errors import UserError
from panorax.core.ranges import Count, Positive, Whole, checked
from panorax.core.state import Result
from panorax.core.step import descend
from panorax.data import datasets
from panorax.maths import lanczos
from panorax.maths.optimisation.curvature import gauss_newton_product, hessian_product, to_vectors
from panorax.nets import mlp

cross_entropy = (
    optax.softmax_cross_entropy_with_integer_labels
)  # in the precision of its input, which for the small network is float64
WIDTH = 2e-3
"""standard deviation of the Gaussian that smooths a density, as a share of the spread of the spectrum"""


@checked
class Config:
    hidden: tuple[Count, ...] = (288, 288)
    """widths of the network: 104,842 parameters"""
    small: tuple[Count, ...] = (12,)
    """of the one whose eigenvalues are all computed: 910 parameters"""
    middle: Count = 100
    """steps of training when it is looked at for the second time"""
    steps: Count = 3000
    batch: Count = 64
    rate: Positive = 0.05
    lanczos: Count = 80
    """steps of Lanczos"""
    probes: Count = 10
    small_probes: Count = 40
    largest: Count = 25
    """eigenvalues that are computed with their eigenvectors"""
    seed: Whole = 0

    def __post_init__(self):
        if (
            not self.middle < self.steps
            or not 10 < self.largest <= self.lanczos
            or self.probes < 2
            or self.small_probes < 2
        ):
            raise UserError(
                "middle must be below steps, largest above 10 and at most as many as the steps of lanczos, probes and small-probes at least 2"
            )
        if self.lanczos > core_spec.count(network(self.small)):
            raise UserError(
                f"the small network has {core_spec.count(network(self.small))} parameters, lanczos cannot take {self.lanczos} steps"
            )


@struct.dataclass
class Spectrum:
    """The density, the largest eigenvalues of H and of G, falling, and how much of the span of the first nine eigenvectors of H lies in that of
    G's."""

    density: lanczos.Quadrature
    hessian: Float[Array, " k"]
    gauss_newton: Float[Array, " k"]
    overlap: Float[Array, ""]


def network(hidden: tuple[int, ...]):
    """A perceptron from the pixels to ten classes."""
    return mlp.spec((64, *hidden, 10), mlp.fan_in(1.0))


def outliers(eigenvalues: np.ndarray, most: int = 20) -> int:
    """How many of the largest eigenvalues, falling, stand out: after how many, 2 to `most`, the ratio of one to the next is largest; only those
    above 0 count. Raises ValueError where fewer than 3 are above 0, or they do not fall."""
    values = np.asarray(eigenvalues, np.float64)
    if not (np.diff(values) <= 0).all() or np.sum(values > 0) < 3:
        raise ValueError(
            "outliers are counted among falling eigenvalues, 3 of them at least above 0"
        )
    values = values[values > 0][: most + 1]
    return int(np.argmax(values[1:-1] / values[2:])) + 2


def subspace_overlap(one: Float[Array, "k n"], other: Float[Array, "k n"]) -> Float[Array, ""]:
    """|P Q|_F^2 / k of the projections on two spaces given by orthonormal rows: 1 where they are equal, k/n in the mean where they are random."""
    return jnp.sum(jnp.square(one @ other.T)) / one.shape[0]


def trained(params, x, label, rows_TB, rate: float):
    """Parameters after a step of stochastic descent with momentum 0.9 on each batch of rows."""
    loss = lambda params, rows: jnp.mean(
        cross_entropy(mlp.perceptron(params, x[rows]), label[rows])
    )
    return descend(loss, optax.sgd(rate, momentum=0.9), params, rows_TB)[0]


def spectrum(params, x, label, key, cfg: Config) -> Spectrum:
    """Of the mean loss over all pictures."""
    loss = lambda z: jnp.mean(cross_entropy(z, label))
    outputs = lambda params: mlp.perceptron(params, x)
    h = lambda v: hessian_product(lambda params: loss(outputs(params)), params, v)
    g = lambda v: gauss_newton_product(outputs, loss, params, v)
    key_density, key_top = jax.random.split(key)
    density = lanczos.quadrature(h, params, cfg.lanczos, cfg.probes, key_density)
    (h_values, h_vectors, _), (g_values, g_vectors, _) = (
        lanczos.top_eigenpairs(product, params, cfg.largest, cfg.lanczos, key_top)
        for product in (h, g)
    )
    flat = lambda vectors: jax.vmap(lambda v: ravel_pytree(v)[0])(vectors)[:9]
    return Spectrum(density, h_values, g_values, subspace_overlap(flat(h_vectors), flat(g_vectors)))


def described(found: Spectrum) -> dict[str, float]:
    """The share that negative eigenvalues have of the sum of all |eigenvalues|, the share of eigenvalues within 1% of the largest around 0, and the
    outliers."""
    top = np.asarray(found.hessian, np.float64)
    size = lanczos.integral(found.density, np.abs)
    return {
        "negative_share": lanczos.integral(found.density, lambda t: np.maximum(-t, 0)) / size,
        "near_zero": lanczos.integral(found.density, lambda t: np.abs(t) < 0.01 * top[0]),
        "largest": float(top[0]),
        "smallest": float(found.density.nodes.min()),
        "outliers": float(outliers(top)),
        "gauss_newton_overlap": float(found.overlap),
        "gauss_newton_difference": float(np.abs(found.gauss_newton[:9] / top[:9] - 1).max()),
    }


def beside_exact(params, x, label, key, cfg: Config):
    """Metrics of the quadrature of a small network beside all its eigenvalues, in float64; the eigenvalues, and the quadrature."""
    from scipy.stats import wasserstein_distance

    key_density, key_top, key_trace = jax.random.split(key, 3)
    with jax.enable_x64(True):
        params, x = jax.tree.map(lambda a: jnp.asarray(np.asarray(a), jnp.float64), (params, x))
        f, vector, _ = to_vectors(
            lambda params: jnp.mean(cross_entropy(mlp.perceptron(params, x), label)), params
        )
        exact, n = np.linalg.eigvalsh(jax.jit(jax.hessian(f))(vector)), vector.size
        spread = exact[-1] - exact[0]

        @jax.jit
        def estimated(x):
            product = lambda v: hessian_product(f, x, v)
            top, every = (
                lanczos.top_eigenpairs(product, x, k, steps, key_top)[0]
                for k, steps in ((10, cfg.lanczos), (n, n))
            )
            traces = lanczos.hutchinson(product, x, cfg.small_probes, key_trace)
            return (
                lanczos.quadrature(product, x, cfg.lanczos, cfg.small_probes, key_density),
                top,
                every,
                traces,
            )

        found, top, every, traces = estimated(vector)
        traces = np.asarray(traces)
        grid = np.linspace(exact[0] - 0.05 * spread, exact[-1] + 0.05 * spread, 2000)
        below = [
            lanczos.distribution(one, grid, WIDTH * spread)
            for one in (found, lanczos.exactly(exact))
        ]
        weights = np.asarray(found.weights).ravel() / cfg.small_probes
        metrics = {
            "small_kolmogorov": float(np.abs(below[0] - below[1]).max()),
            "small_wasserstein": float(
                wasserstein_distance(np.asarray(found.nodes).ravel(), exact, weights) / spread
            ),
            "small_top_error": float(np.abs(np.asarray(top) / exact[::-1][:10] - 1).max()),
            "small_trace_error": float(abs(traces.mean() / exact.sum() - 1)),
            "small_trace_z": float(
                abs(traces.mean() - exact.sum()) / (traces.std(ddof=1) / len(traces) ** 0.5)
            ),
            "small_all_error": float(
                np.abs(np.asarray(every)[::-1] - exact).max() / np.abs(exact).max()
            ),
        }
    return metrics, exact, found


def study(cfg: Config, key) -> Result:
    """Both networks are trained on the digits; metrics carry `_start`, `_middle` or `_end`, those of the small network `small_`."""
    key_init, key_rows, key_spectrum, key_small = jax.random.split(key, 4)
    x, label, _, _ = map(jnp.asarray, datasets.digit_vectors())
    rows = jax.random.randint(key_rows, (cfg.steps, cfg.batch), 0, len(x))
    train = jax.jit(lambda params, rows: trained(params, x, label, rows, cfg.rate))
    measure = jax.jit(lambda params: spectrum(params, x, label, key_spectrum, cfg))
    params, spectra, metrics = core_spec.init(network(cfg.hidden), key_init), {}, {}
    for when, some in (
        ("start", rows[:0]),
        ("middle", rows[: cfg.middle]),
        ("end", rows[cfg.middle :]),
    ):
        params = train(params, some) if len(some) else params
        spectra[when] = found = measure(params)
        metrics |= {f"{name}_{when}": value for name, value in described(found).items()}
        metrics[f"loss_{when}"] = float(jnp.mean(cross_entropy(mlp.perceptron(params, x), label)))
    metrics["parameters"] = float(core_spec.count(network(cfg.hidden)))
    small = train(core_spec.init(network(cfg.small), key_init), rows[: cfg.middle])
    beside, exact, quadrature = beside_exact(small, x, label, key_small, cfg)
    return Result(metrics | beside, {"hessian_spectrum.png": draw(spectra, exact, quadrature)})


def draw(spectra: dict[str, Spectrum], exact: np.ndarray, found: lanczos.Quadrature):
    """Densities on a log scale, the largest eigenvalues marked; the small network's beside a histogram of all its eigenvalues."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(17, 3.8), layout="constrained")
    *panels, small = figure.subplots(1, len(spectra) + 1)
    for ax, (when, one) in zip(panels, spectra.items(), strict=True):
        low, high = float(one.density.nodes.min()), float(one.hessian[0])
        margin = 0.06 * (high - low)
        grid = np.linspace(low - margin, high + margin, 1500)
        height = lanczos.density(one.density, grid, WIDTH * (high - low))
        ax.semilogy(grid, height, lw=1, color="C0", label="quadrature")
        floor = 1e-7 / (high - low)
        ax.plot(
            one.hessian,
            np.full(len(one.hessian), 4 * floor),
            "v",
            ms=5,
            color="C3",
            label="largest eigenvalues",
        )
        ax.plot(
            one.gauss_newton,
            np.full(len(one.hessian), 1.5 * floor),
            "^",
            ms=5,
            color="C2",
            label="those of Gauss-Newton",
        )
        ax.set(title=f"{when} of training", xlabel="eigenvalue", ylim=(floor, 10 * height.max()))
    panels[0].set_ylabel("density")
    panels[0].legend(frameon=False, fontsize=8, loc="upper right")
    spread = exact[-1] - exact[0]
    grid = np.linspace(exact[0] - 0.05 * spread, exact[-1] + 0.05 * spread, 1500)
    height = lanczos.density(found, grid, WIDTH * spread)
    small.hist(
        exact, bins=200, density=True, log=True, color="0.65", label=f"all {len(exact)} eigenvalues"
    )
    small.semilogy(grid, height, lw=1, color="C0", label="quadrature")
    small.set(
        title="the small network, in the middle",
        xlabel="eigenvalue",
        ylim=(1e-2 / spread, 10 * height.max()),
    )
    small.legend(frameon=False, fontsize=8)
    for ax in figure.axes:
        ax.axvline(0, color="0.6", lw=0.6, zorder=0)
        ax.grid(alpha=0.3)
    return figure
