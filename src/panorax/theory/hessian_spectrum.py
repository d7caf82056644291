"""The spectrum of a network's Hessian at the start, in the middle and at the end of training.

For a loss l of outputs z the Hessian has two parts, H = G + R, with J = dz / dp,

    G = 1/N sum_n J_n^T (d^2 l / dz^2) J_n             Gauss-Newton, positive semidefinite
    R = 1/N sum_n sum_c (dl / dz_nc) d^2 z_nc / dp^2   of either sign.

R fades with the residual dl/dz, and the negative eigenvalues with it. G is the covariance of N C
gradients for C classes. The class means of these gradients lie far apart and nearly sum to zero.
About C - 1 eigenvalues are therefore outliers, and all others are near zero.

The spectral density comes from stochastic Lanczos quadrature (`panorax.maths.lanczos`), without
the Hessian itself. The quadrature of a small network is compared with all its eigenvalues.
Source: Ghorbani, Krishnan & Xiao 2019 (arXiv:1901.10159); Sagun et al. 2017 (arXiv:1706.04454);
Papyan 2019 (arXiv:1901.08244).
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from panorax.core import figures, struct
from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.core.ranges import Count, Positive, Whole, checked
from panorax.core.state import Result
from panorax.core.step import descend
from panorax.core.study import Part, family
from panorax.data import datasets
from panorax.maths import lanczos
from panorax.maths.optimisation.curvature import gauss_newton_product, hessian_product, to_vectors
from panorax.maths.spectra import outliers, subspace_overlap
from panorax.nets import mlp

# optax keeps the precision of its input, which is float64 for the small network
cross_entropy = optax.softmax_cross_entropy_with_integer_labels
WIDTH = 2e-3
"""standard deviation of the Gaussian that smooths a density, as a share of the spectrum's range"""
CLASSES = 10
TOP = 10
"""largest eigenvalues of the small network that are compared"""


@checked
class Config:
    hidden: tuple[Count, ...] = (288, 288)
    """widths of the large network's hidden layers (104,842 parameters)"""
    small: tuple[Count, ...] = (12,)
    """widths of the small network's hidden layers (910 parameters)"""
    middle: Count = 100
    """training steps of the large network's middle spectrum and of the small network"""
    steps: Count = 3000
    """training steps of the large network"""
    batch: Count = 64
    """images per step"""
    rate: Positive = 0.05
    """learning rate of SGD with momentum 0.9"""
    lanczos: Count = 80
    """Lanczos steps"""
    probes: Count = 10
    """random probes of the large network's quadrature"""
    small_probes: Count = 40
    """random probes of the small network's quadrature and trace"""
    largest: Count = 25
    """largest eigenvalues computed with their eigenvectors"""
    seed: Whole = 0
    """seed of all random numbers"""

    def __post_init__(self):
        if not self.middle < self.steps:
            raise UserError("middle must be below steps")
        if not 10 < self.largest <= self.lanczos:
            raise UserError("largest must be above 10 and at most lanczos")
        if self.probes < 2 or self.small_probes < 2:
            raise UserError("probes and small-probes must be at least 2")
        dimension = core_spec.count(network(self.small))
        if self.lanczos > dimension:
            raise UserError(f"lanczos must be at most {dimension}, the small network's parameters")


@struct.dataclass
class Spectrum:
    """Density and largest eigenvalues of the Hessian and of its Gauss-Newton part."""

    density: lanczos.Quadrature
    """spectral density of the Hessian"""
    hessian: Float[Array, " k"]
    """largest eigenvalues of the Hessian, falling"""
    gauss_newton: Float[Array, " k"]
    """largest eigenvalues of the Gauss-Newton part, falling"""
    overlap: Float[Array, ""]
    """subspace overlap of the first C - 1 eigenvectors of both"""
    loss: Float[Array, ""]
    """cross entropy on all training images, in nats"""


class Summary(NamedTuple):
    """Numbers that describe a `Spectrum`."""

    negative_share: float
    """sum of |negative eigenvalues| over the sum of all |eigenvalues|"""
    near_zero: float
    """share of eigenvalues below 1% of the largest in absolute value"""
    largest: float
    """largest eigenvalue"""
    smallest: float
    """smallest quadrature node, an estimate of the smallest eigenvalue"""
    outliers: int
    """number of large eigenvalues before the largest gap"""
    gauss_newton_overlap: float
    """subspace overlap of the first C - 1 eigenvectors of H and G"""
    gauss_newton_difference: float
    """largest relative difference of the first C - 1 eigenvalues of H and G"""
    loss: float
    """cross entropy on all training images, in nats"""


class Comparison(NamedTuple):
    """Lanczos estimates of one Hessian beside all its eigenvalues."""

    exact: np.ndarray
    """all eigenvalues, rising"""
    quadrature: lanczos.Quadrature
    """spectral density by stochastic Lanczos quadrature"""
    top: np.ndarray
    """largest eigenvalues by Lanczos, falling"""
    every: np.ndarray
    """all eigenvalues by Lanczos with as many steps as dimensions, falling"""
    traces: np.ndarray
    """Hutchinson's estimate of the trace for each probe"""


def network(hidden: tuple[int, ...]):
    """Parameters of a perceptron from 64 pixels to ten classes."""
    return mlp.spec((64, *hidden, CLASSES), mlp.fan_in(1.0))


def mean_loss(params, x, label):
    """Mean cross entropy in nats."""
    return jnp.mean(cross_entropy(mlp.perceptron(params, x), label))


def trained(params, x, label, rows_TB, rate: float):
    """Parameters after one step of SGD with momentum 0.9 on each batch of rows."""
    loss = lambda params, rows: mean_loss(params, x[rows], label[rows])
    return descend(loss, optax.sgd(rate, momentum=0.9), params, rows_TB)[0]


def spectrum(params, x, label, key, cfg: Config) -> Spectrum:
    """Spectrum of the mean loss over all images."""
    outputs = lambda params: mlp.perceptron(params, x)
    output_loss = lambda z: jnp.mean(cross_entropy(z, label))
    h = lambda v: hessian_product(lambda params: output_loss(outputs(params)), params, v)
    g = lambda v: gauss_newton_product(outputs, output_loss, params, v)
    key_density, key_top = jax.random.split(key)
    density = lanczos.quadrature(h, params, cfg.lanczos, cfg.probes, key_density)
    (h_values, h_vectors, _), (g_values, g_vectors, _) = (
        lanczos.top_eigenpairs(product, params, cfg.largest, cfg.lanczos, key_top)
        for product in (h, g)
    )
    first = lambda vectors: jax.vmap(lambda v: ravel_pytree(v)[0])(vectors)[: CLASSES - 1]
    overlap = subspace_overlap(first(h_vectors), first(g_vectors))
    return Spectrum(density, h_values, g_values, overlap, mean_loss(params, x, label))


def summarised(measured: Spectrum) -> Summary:
    """The numbers that describe `measured`."""
    top, first = np.asarray(measured.hessian, np.float64), slice(CLASSES - 1)
    size = lanczos.integral(measured.density, np.abs)
    negative = lanczos.integral(measured.density, lambda t: np.maximum(-t, 0))
    return Summary(
        negative_share=negative / size,
        near_zero=lanczos.integral(measured.density, lambda t: np.abs(t) < 0.01 * top[0]),
        largest=top[0],
        smallest=measured.density.nodes.min(),
        outliers=outliers(top),
        gauss_newton_overlap=measured.overlap,
        gauss_newton_difference=np.abs(measured.gauss_newton[first] / top[first] - 1).max(),
        loss=measured.loss,
    )


def compared(params, x, label, key, cfg: Config) -> Comparison:
    """Lanczos estimates of the Hessian beside all its eigenvalues, in float64.

    Call it under `jax.enable_x64(True)`.
    """
    key_density, key_top, key_trace = jax.random.split(key, 3)
    params, x = jax.tree.map(lambda a: jnp.asarray(np.asarray(a), jnp.float64), (params, x))
    f, vector, _ = to_vectors(lambda params: mean_loss(params, x, label), params)
    exact, n, probes = (
        np.linalg.eigvalsh(jax.jit(jax.hessian(f))(vector)),
        vector.size,
        cfg.small_probes,
    )

    @jax.jit
    def compare(w) -> Comparison:
        product = lambda v: hessian_product(f, w, v)
        top, every = (
            lanczos.top_eigenpairs(product, w, k, steps, key_top)[0]
            for k, steps in ((TOP, cfg.lanczos), (n, n))
        )
        quadrature = lanczos.quadrature(product, w, cfg.lanczos, probes, key_density)
        traces = lanczos.hutchinson(product, w, probes, key_trace)
        return Comparison(exact, quadrature, top, every, traces)

    return jax.tree.map(np.asarray, compare(vector))


def errors(comparison: Comparison) -> dict[str, float]:
    """Errors of the Lanczos estimates. Call it under `jax.enable_x64(True)`."""
    from scipy.stats import wasserstein_distance

    exact, quadrature, top, every, traces = comparison
    width = WIDTH * (exact[-1] - exact[0])
    grid = points_around(exact, 2000)
    estimate, truth = (
        lanczos.distribution(q, grid, width) for q in (quadrature, lanczos.exactly(exact))
    )
    nodes, weights = (np.asarray(a).ravel() for a in (quadrature.nodes, quadrature.weights))
    distance = wasserstein_distance(nodes, exact, weights / len(quadrature.nodes))
    standard_error = traces.std(ddof=1) / len(traces) ** 0.5
    return {
        "small_kolmogorov": float(np.abs(estimate - truth).max()),
        "small_wasserstein": float(distance / (exact[-1] - exact[0])),
        "small_top_error": float(np.abs(top / exact[::-1][:TOP] - 1).max()),
        "small_trace_error": float(abs(traces.mean() / exact.sum() - 1)),
        "small_trace_z": float(abs(traces.mean() - exact.sum()) / standard_error),
        "small_all_error": float(np.abs(every[::-1] - exact).max() / np.abs(exact).max()),
    }


def points_around(eigenvalues: np.ndarray, n: int) -> np.ndarray:
    """n points from below the smallest to above the largest of rising eigenvalues."""
    margin = 0.05 * (eigenvalues[-1] - eigenvalues[0])
    return np.linspace(eigenvalues[0] - margin, eigenvalues[-1] + margin, n)


def batches(key, cfg: Config) -> tuple[Array, Array, Array]:
    """Digits, their labels, and the rows of every training step (steps, batch)."""
    x, label, _, _ = map(jnp.asarray, datasets.digit_vectors())
    return x, label, jax.random.randint(key, (cfg.steps, cfg.batch), 0, len(x))


def training(key, cfg: Config) -> Result:
    """Spectra of the large network at the start, in the middle and at the end of training."""
    key_init, key_rows, key_spectrum = jax.random.split(key, 3)
    x, label, rows = batches(key_rows, cfg)
    train = jax.jit(lambda params, rows: trained(params, x, label, rows, cfg.rate))
    measure = jax.jit(lambda params: spectrum(params, x, label, key_spectrum, cfg))
    start = core_spec.init(network(cfg.hidden), key_init)
    middle = train(start, rows[: cfg.middle])
    end = train(middle, rows[cfg.middle :])
    spectra = {"start": measure(start), "middle": measure(middle), "end": measure(end)}
    summaries = {when: summarised(measured)._asdict() for when, measured in spectra.items()}
    values = {(name, when): x for when, summary in summaries.items() for name, x in summary.items()}
    metrics = family("{}_{}", values) | {"parameters": float(core_spec.count(network(cfg.hidden)))}
    return Result(metrics, {"hessian_spectrum.png": draw_spectra(spectra)})


def small_network(key, cfg: Config) -> Result:
    """The quadrature of a small network beside all eigenvalues of its Hessian."""
    key_init, key_rows, key_compare = jax.random.split(key, 3)
    x, label, rows = batches(key_rows, cfg)
    start = core_spec.init(network(cfg.small), key_init)
    train = jax.jit(lambda params, rows: trained(params, x, label, rows, cfg.rate))
    params = train(start, rows[: cfg.middle])
    with jax.enable_x64(True):
        comparison = compared(params, x, label, key_compare, cfg)
        metrics = errors(comparison)
    return Result(metrics, {"small_network.png": draw_comparison(comparison)})


def draw_spectra(spectra: dict[str, Spectrum]):
    """Densities on a log scale with the largest eigenvalues marked."""
    figure, axes = figures.panels(len(spectra))
    for ax, (when, measured) in zip(axes, spectra.items()):
        low, high = float(measured.density.nodes.min()), float(measured.hessian[0])
        grid = np.linspace(low - 0.06 * (high - low), high + 0.06 * (high - low), 1500)
        density = lanczos.density(measured.density, grid, WIDTH * (high - low))
        ax.semilogy(grid, density, lw=1, label="quadrature")
        floor = 1e-7 / (high - low)
        marks = np.full(len(measured.hessian), floor)
        ax.plot(measured.hessian, 4 * marks, "v", ms=5, label="largest, Hessian")
        ax.plot(measured.gauss_newton, 1.5 * marks, "^", ms=5, label="largest, Gauss-Newton")
        ax.axvline(0, color="0.6", lw=0.6, zorder=0)
        ax.set(title=f"{when} of training", xlabel="eigenvalue", ylabel="density")
        ax.set_ylim(floor, 10 * density.max())
    return figures.legends(figure, loc="upper right")


def draw_comparison(comparison: Comparison):
    """The density of the small network on a histogram of all its eigenvalues."""
    figure, (ax,) = figures.panels()
    exact = comparison.exact
    spread = exact[-1] - exact[0]
    grid = points_around(exact, 1500)
    density = lanczos.density(comparison.quadrature, grid, WIDTH * spread)
    histogram = {"bins": 200, "density": True, "log": True, "color": "0.65"}
    ax.hist(exact, label=f"all {len(exact)} eigenvalues", **histogram)
    ax.semilogy(grid, density, lw=1, label="quadrature")
    ax.axvline(0, color="0.6", lw=0.6, zorder=0)
    ax.set(title="small network", xlabel="eigenvalue", ylabel="density")
    ax.set_ylim(1e-2 / spread, 10 * density.max())
    return figures.legends(figure)


def study(cfg: Config) -> dict[str, Part]:
    """Spectra during training, and the accuracy of the method on a small network."""
    return {
        "training": functools.partial(training, cfg=cfg),
        "small_network": functools.partial(small_network, cfg=cfg),
    }
