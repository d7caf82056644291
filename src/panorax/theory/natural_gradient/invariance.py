"""What a change of the parameters changes: nothing for natural gradients, everything for plain ones; and where a block of K-FAC is that of the Fisher matrix.

theta = T zeta + c     F_zeta = T^T F T and g_zeta = T^T g, so that T F_zeta^-1 g_zeta = F^-1 g: the same step of the function, whatever its length
theta = h(zeta)        the same to first order in the length of the step: what differs falls as its square
K-FAC                  the same where every layer sees its inputs through an affine map Omega and gives its outputs through a linear one Phi, for then
                       W' = Omega^-T W Phi^-T, A' = Omega A Omega^T, G' = Phi^T G Phi (Martens & Grosse 2015, theorem 1), without damping
deep linear nets       with Gaussian noise have g independent of a: the blocks of K-FAC are those of F. For one layer A = E a a^T, G = I
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from panorax.maths.optimisation.fisher import GAUSSIAN, fisher_matrix, natural_gradient
from panorax.maths.optimisation.kfac import (
    block,
    exact_factors,
    inverses,
    map_layers,
    precondition,
    weights,
)


def tapped_perceptron(params, taps, x, maps=None, activation: Callable = jnp.tanh):
    """A perceptron with an affine last layer; with maps, one (Omega, Phi) for each layer, the layers see Omega [a; 1] and give Phi s."""
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
    """The outputs at x as a function of the parameters, without taps."""
    return lambda params: net(params, (0.0,) * len(params), x)[0]


def draw_perceptron(rng: np.random.Generator, sizes: tuple[int, ...]):
    """Layers with normal weights of standard deviation 1 / sqrt(inputs), and biases."""
    layer = lambda i, o: {
        "w": jnp.asarray(rng.normal(size=(i, o)) / i**0.5),
        "b": jnp.asarray(0.3 * rng.normal(size=o)),
    }
    return tuple(layer(i, o) for i, o in zip(sizes[:-1], sizes[1:], strict=True))


def draw_map(rng: np.random.Generator, n: int, spread: float = 4.0):
    """A random matrix with singular values from 1 / sqrt(spread) to sqrt(spread)."""
    left, right = (np.linalg.qr(rng.normal(size=(n, n)))[0] for _ in range(2))
    return jnp.asarray(left @ np.diag(np.geomspace(spread**-0.5, spread**0.5, n)) @ right)


def gap(there, here, before):
    """Largest difference between the outputs after a step in other parameters and in these, over the largest change that the step made."""
    return jnp.max(jnp.abs(there - here)) / jnp.max(jnp.abs(here - before))


def stepped(outputs: Callable, params, t, rate: float, natural: bool):
    """The outputs after a step along the natural or the plain gradient of half the squared error."""
    gradient = jax.grad(lambda params: jnp.mean(GAUSSIAN.loss(outputs(params), t)))(params)
    d = (
        natural_gradient(fisher_matrix(outputs, GAUSSIAN, params), gradient)
        if natural
        else gradient
    )
    return outputs(jax.tree.map(lambda p, d: p - rate * d, params, d))


def affine_gaps(rng: np.random.Generator, sizes: tuple[int, ...], points: int) -> dict[str, float]:
    """The gap of a step of rate 1/2 in affinely other parameters, natural and plain; float64 where it is enabled."""
    params, x, t = problem(rng, sizes, points)
    theta, back = ravel_pytree(params)
    change, origin = draw_map(rng, theta.size), jnp.asarray(rng.normal(size=theta.size))

    @jax.jit
    def gaps(params, x, t, change, origin):
        outputs = outputs_of(tapped_perceptron, x)
        zeta = jnp.linalg.solve(change, ravel_pytree(params)[0] - origin)
        moved = lambda zeta: outputs(back(change @ zeta + origin))
        return [
            gap(
                stepped(moved, zeta, t, 0.5, natural),
                stepped(outputs, params, t, 0.5, natural),
                outputs(params),
            )
            for natural in (True, False)
        ]

    return dict(
        zip(("natural", "plain"), map(float, gaps(params, x, t, change, origin)), strict=True)
    )


def curved_gaps(
    rng: np.random.Generator, sizes: tuple[int, ...], points: int, rates: np.ndarray
) -> np.ndarray:
    """The gap of natural steps of these rates where theta = zeta + sin(zeta) / 2: it is relative, so it falls as the rate."""
    params, x, t = problem(rng, sizes, points)
    zeta, back = ravel_pytree(params)
    curve = lambda zeta: back(zeta + 0.5 * jnp.sin(zeta))

    def gap_of(zeta, x, t, rate):
        outputs = outputs_of(tapped_perceptron, x)
        moved = lambda zeta: outputs(curve(zeta))
        return gap(
            stepped(moved, zeta, t, rate, True),
            stepped(outputs, curve(zeta), t, rate, True),
            moved(zeta),
        )

    return np.asarray(
        jax.jit(jax.vmap(gap_of, (None, None, None, 0)))(zeta, x, t, jnp.asarray(rates))
    )


def kfac_gaps(
    rng: np.random.Generator, sizes: tuple[int, ...], points: int, dampings: np.ndarray
) -> np.ndarray:
    """The gap of a step of K-FAC of rate 1/2, at each damping, in the net with random maps around every layer."""
    params, x, t = problem(rng, sizes, points)

    def affine(n):
        return jnp.asarray(
            np.block(
                [
                    [np.asarray(draw_map(rng, n)), rng.normal(size=(n, 1))],
                    [np.zeros((1, n)), np.ones((1, 1))],
                ]
            )
        )

    maps = tuple((affine(i), draw_map(rng, o)) for i, o in zip(sizes[:-1], sizes[1:], strict=True))

    def mapped(layer, change):
        w = jnp.linalg.solve(change[0].T, weights(layer)) @ jnp.linalg.inv(change[1]).T
        return {"w": w[:-1], "b": w[-1]}

    def after(net, params, x, t, damping):
        outputs = outputs_of(net, x)
        gradient = jax.grad(lambda params: jnp.mean(GAUSSIAN.loss(outputs(params), t)))(params)
        found = exact_factors(net, GAUSSIAN, params, x)
        d = map_layers(
            lambda layer, factor: precondition(layer, inverses(factor, damping)), gradient, found
        )
        return outputs(jax.tree.map(lambda p, d: p - 0.5 * d, params, d))

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(None, None, None, None, 0))
    def gaps(params, maps, x, t, damping):
        through_maps = lambda params, taps, x: tapped_perceptron(params, taps, x, maps)
        there = after(through_maps, map_layers(mapped, params, maps), x, t, damping)
        return gap(
            there,
            after(tapped_perceptron, params, x, t, damping),
            outputs_of(tapped_perceptron, x)(params),
        )

    return np.asarray(gaps(params, maps, x, t, jnp.asarray(dampings)))


def block_gap(
    rng: np.random.Generator, sizes: tuple[int, ...], points: int, activation: Callable
) -> float:
    """Largest difference between the blocks of K-FAC and those of the exact Fisher matrix, over the largest number of the block."""
    params, x, _ = problem(rng, sizes, points)
    net = lambda params, taps, x: tapped_perceptron(params, taps, x, activation=activation)

    @jax.jit
    def largest(params, x):
        found = []
        for i, factor in enumerate(exact_factors(net, GAUSSIAN, params, x)):
            # the numbers of W row by row, as `block` has them
            with_layer = lambda w, i=i: outputs_of(net, x)(
                (*params[:i], {"w": w[:-1], "b": w[-1]}, *params[i + 1 :])
            )
            exact = fisher_matrix(with_layer, GAUSSIAN, weights(params[i]))
            found.append(jnp.max(jnp.abs(block(factor) - exact)) / jnp.max(jnp.abs(exact)))
        return jnp.max(jnp.stack(found))

    return float(largest(params, x))


def problem(rng: np.random.Generator, sizes: tuple[int, ...], points: int):
    """Parameters, inputs and targets of a regression. Raises ValueError for fewer outputs than parameters, whose Fisher matrix has no inverse."""
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
