"""Invariance of natural gradients and K-FAC to the parameters, and exact blocks of K-FAC.

    theta = T zeta + c   F_zeta = T^T F T and g_zeta = T^T g, so T F_zeta^-1 g_zeta = F^-1 g:
                         a natural step in zeta changes the function as a step in theta does
    theta = h(zeta)      the two steps agree to first order in their length: the difference
                         falls as the square of the length
    K-FAC                invariant if each layer sees its inputs through an affine map Omega and
                         its outputs pass a linear map Phi: W' = Omega^-T W Phi^-T,
                         A' = Omega A Omega^T, G' = Phi^T G Phi, without damping
    deep linear nets     g is independent of a under Gaussian noise: the blocks of K-FAC are those
                         of F. A net of one layer has A = E a a^T and G = I

Source: Amari 1998; Martens & Grosse 2015, section 1 and theorem 1.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from panorax.core import figures
from panorax.core.state import Result
from panorax.core.study import family, numpy_generator
from panorax.maths.optimisation.fisher import GAUSSIAN, fisher_matrix, natural_gradient
from panorax.maths.optimisation.kfac import (
    block,
    exact_factors,
    inverses,
    map_layers,
    precondition,
    weights,
)

RATES = np.array([0.01, 0.001])
"""step sizes at which the gap in curved parameters is measured"""
DAMPINGS = np.array([0.0, 0.1])
"""dampings of K-FAC at which its gap is measured"""


def tapped_perceptron(params, taps, x, maps=None, activation: Callable = jnp.tanh):
    """A perceptron with an affine last layer: `(outputs, inputs of the layers)`.

    taps: one array per layer, added to the outputs of the layer.
    maps: one `(Omega, Phi)` per layer; the layer then gets Omega [a; 1] in place of [a; 1] and
        returns Phi s in place of s.
    """
    inputs = []
    for i, (layer, tap) in enumerate(zip(params, taps, strict=True)):
        if maps is not None:
            omega = maps[i][0]
            x = x @ omega[:-1, :-1].T + omega[:-1, -1][None]
        inputs.append(x)
        s = x @ layer["w"] + layer["b"][None] + tap
        s = s if maps is None else s @ maps[i][1].T
        x = s if i == len(params) - 1 else activation(s)
    return x, tuple(inputs)


def outputs_of(net: Callable, x) -> Callable:
    """The outputs of `net` at x as a function of the parameters, with taps of 0."""
    return lambda params: net(params, (0.0,) * len(params), x)[0]


def draw_perceptron(rng: np.random.Generator, sizes: tuple[int, ...]):
    """Random layers: weights ~ N(0, 1 / inputs), biases ~ N(0, 0.3^2)."""
    layer = lambda i, o: {
        "w": jnp.asarray(rng.normal(size=(i, o)) / i**0.5),
        "b": jnp.asarray(0.3 * rng.normal(size=o)),
    }
    return tuple(layer(i, o) for i, o in zip(sizes[:-1], sizes[1:], strict=True))


def draw_map(rng: np.random.Generator, n: int, spread: float = 4.0):
    """A random (n, n) matrix with singular values from 1 / sqrt(spread) to sqrt(spread)."""
    left, right = (np.linalg.qr(rng.normal(size=(n, n)))[0] for _ in range(2))
    return jnp.asarray(left @ np.diag(np.geomspace(spread**-0.5, spread**0.5, n)) @ right)


def draw_affine_map(rng: np.random.Generator, n: int):
    """A random affine map of R^n as an (n + 1, n + 1) matrix in homogeneous coordinates."""
    top = np.concatenate([np.asarray(draw_map(rng, n)), rng.normal(size=(n, 1))], 1)
    return jnp.asarray(np.concatenate([top, np.eye(n + 1)[-1:]]))


def problem(rng: np.random.Generator, sizes: tuple[int, ...], points: int):
    """Parameters, inputs and targets of a random regression.

    Raises ValueError if there are fewer outputs than parameters: the Fisher matrix is singular.
    """
    numbers = sum((i + 1) * o for i, o in zip(sizes[:-1], sizes[1:], strict=True))
    if points * sizes[-1] < numbers:
        raise ValueError(
            f"{points} points with {sizes[-1]} outputs cannot determine {numbers} parameters"
        )
    return (
        draw_perceptron(rng, sizes),
        jnp.asarray(rng.normal(size=(points, sizes[0]))),
        jnp.asarray(rng.normal(size=(points, sizes[-1]))),
    )


def gap(mapped, plain, before):
    """Largest difference of the outputs after a step in mapped and in plain parameters.

    It is relative to the largest change that the step makes in plain parameters.
    """
    return jnp.max(jnp.abs(mapped - plain)) / jnp.max(jnp.abs(plain - before))


def gradient_of(outputs: Callable, t, params):
    """The gradient of half the mean squared error."""
    return jax.grad(lambda params: jnp.mean(GAUSSIAN.loss(outputs(params), t)))(params)


def moved(outputs: Callable, params, direction, rate: float):
    """The outputs after the step -rate * direction."""
    return outputs(jax.tree.map(lambda p, d: p - rate * d, params, direction))


def plain_step(outputs: Callable, params, t, rate: float):
    """The outputs after a step along the gradient."""
    return moved(outputs, params, gradient_of(outputs, t, params), rate)


def natural_step(outputs: Callable, params, t, rate: float):
    """The outputs after a step along the natural gradient."""
    fisher = fisher_matrix(outputs, GAUSSIAN, params)
    return moved(outputs, params, natural_gradient(fisher, gradient_of(outputs, t, params)), rate)


def affine_gaps(rng: np.random.Generator, sizes: tuple[int, ...], points: int) -> dict[str, float]:
    """The gaps of a natural and a plain step of rate 1/2 in affinely mapped parameters."""
    params, x, t = problem(rng, sizes, points)
    theta, back = ravel_pytree(params)
    change, origin = draw_map(rng, theta.size), jnp.asarray(rng.normal(size=theta.size))

    @jax.jit
    def gaps(params, x, t, change, origin):
        outputs = outputs_of(tapped_perceptron, x)
        mapped_outputs = lambda zeta: outputs(back(change @ zeta + origin))
        zeta = jnp.linalg.solve(change, ravel_pytree(params)[0] - origin)
        return [
            gap(step(mapped_outputs, zeta, t, 0.5), step(outputs, params, t, 0.5), outputs(params))
            for step in (natural_step, plain_step)
        ]

    natural, plain = gaps(params, x, t, change, origin)
    return {"natural": float(natural), "plain": float(plain)}


def curved_gaps(
    rng: np.random.Generator, sizes: tuple[int, ...], points: int, rates_R: np.ndarray
) -> np.ndarray:
    """The gaps (R,) of natural steps of these rates for theta = zeta + sin(zeta) / 2.

    A gap is relative to the length of the step, so it falls as the rate.
    """
    params, x, t = problem(rng, sizes, points)
    zeta, back = ravel_pytree(params)
    curve = lambda zeta: back(zeta + 0.5 * jnp.sin(zeta))

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(None, None, None, 0))
    def gaps(zeta, x, t, rate):
        outputs = outputs_of(tapped_perceptron, x)
        mapped_outputs = lambda zeta: outputs(curve(zeta))
        mapped = natural_step(mapped_outputs, zeta, t, rate)
        plain = natural_step(outputs, curve(zeta), t, rate)
        return gap(mapped, plain, mapped_outputs(zeta))

    return np.asarray(gaps(zeta, x, t, jnp.asarray(rates_R)))


def kfac_step(net: Callable, params, x, t, damping):
    """The outputs of `net` after a step of K-FAC of rate 1/2."""
    outputs = outputs_of(net, x)
    direction = map_layers(
        lambda layer, factor: precondition(layer, inverses(factor, damping)),
        gradient_of(outputs, t, params),
        exact_factors(net, GAUSSIAN, params, x),
    )
    return moved(outputs, params, direction, 0.5)


def kfac_gaps(
    rng: np.random.Generator, sizes: tuple[int, ...], points: int, dampings_R: np.ndarray
) -> np.ndarray:
    """The gaps (R,) of steps of K-FAC in a net with random maps around each layer."""
    params, x, t = problem(rng, sizes, points)
    maps = tuple(
        (draw_affine_map(rng, i), draw_map(rng, o))
        for i, o in zip(sizes[:-1], sizes[1:], strict=True)
    )

    def mapped_layer(layer, change):
        w = jnp.linalg.solve(change[0].T, weights(layer)) @ jnp.linalg.inv(change[1]).T
        return {"w": w[:-1], "b": w[-1]}

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(None, None, None, None, 0))
    def gaps(params, maps, x, t, damping):
        mapped_net = lambda params, taps, x: tapped_perceptron(params, taps, x, maps)
        mapped_params = map_layers(mapped_layer, params, maps)
        return gap(
            kfac_step(mapped_net, mapped_params, x, t, damping),
            kfac_step(tapped_perceptron, params, x, t, damping),
            outputs_of(tapped_perceptron, x)(params),
        )

    return np.asarray(gaps(params, maps, x, t, jnp.asarray(dampings_R)))


def block_gap(
    rng: np.random.Generator, sizes: tuple[int, ...], points: int, activation: Callable
) -> float:
    """Largest difference of a block of K-FAC from the block of the exact Fisher matrix.

    It is relative to the largest entry of the exact block.
    """
    params, x, _ = problem(rng, sizes, points)
    net = lambda params, taps, x: tapped_perceptron(params, taps, x, activation=activation)

    @jax.jit
    def largest(params, x):
        gaps = []
        for i, factor in enumerate(exact_factors(net, GAUSSIAN, params, x)):
            # W row by row, in the order of `block`
            with_layer = lambda w, i=i: outputs_of(net, x)(
                (*params[:i], {"w": w[:-1], "b": w[-1]}, *params[i + 1 :])
            )
            exact = fisher_matrix(with_layer, GAUSSIAN, weights(params[i]))
            gaps.append(jnp.max(jnp.abs(block(factor) - exact)) / jnp.max(jnp.abs(exact)))
        return jnp.max(jnp.stack(gaps))

    return float(largest(params, x))


def invariance(key) -> Result:
    """Gaps of natural and plain gradients and of K-FAC in mapped parameters, in float64."""
    rng = numpy_generator(key)
    with jax.enable_x64(True):
        affine = affine_gaps(rng, (3, 4, 2), 100)
        curved = curved_gaps(rng, (3, 4, 2), 100, RATES)
        undamped, damped = kfac_gaps(rng, (3, 4, 4, 2), 200, DAMPINGS)
    order = np.log(curved[0] / curved[1]) / np.log(RATES[0] / RATES[1])
    metrics = family("affine_gap_{}", affine) | {
        "curved_gap_order": 1 + float(order),
        "kfac_gap": float(undamped),
        "kfac_gap_damped": float(damped),
    }
    gaps = {f"{name} gradient, affine map": value for name, value in affine.items()}
    gaps |= {f"natural gradient, curved, rate {r:g}": g for r, g in zip(RATES, curved, strict=True)}
    gaps |= {"K-FAC, affine maps": undamped, f"K-FAC, damping {DAMPINGS[1]:g}": damped}
    return Result(metrics, {"invariance.png": draw_gaps(gaps, "gap of a step in other parameters")})


def fisher_blocks(key) -> Result:
    """Gaps between the blocks of K-FAC and of the Fisher matrix, in float64."""
    rng = numpy_generator(key)
    with jax.enable_x64(True):
        gaps = {
            "one_layer": block_gap(rng, (4, 3), 50, jnp.tanh),
            "deep_linear": block_gap(rng, (4, 5, 3, 2), 50, lambda s: s),
            "tanh": block_gap(rng, (4, 5, 3, 2), 50, jnp.tanh),
        }
    bars = {name.replace("_", " "): value for name, value in gaps.items()}
    figure = draw_gaps(bars, "gap between K-FAC's and Fisher's blocks")
    return Result(family("block_gap_{}", gaps), {"fisher_blocks.png": figure})


def draw_gaps(gaps: dict[str, float], title: str):
    """A bar for each gap, on a logarithmic axis."""
    figure, (ax,) = figures.panels(width=6.4, height=0.9 + 0.4 * len(gaps))
    ax.barh([*gaps], [max(value, 1e-17) for value in gaps.values()])
    ax.set(title=title, xlabel="relative gap", xscale="log", xlim=(1e-17, 10))
    ax.invert_yaxis()
    return figure
