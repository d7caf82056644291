"""Steps that gradient descent needs to leave saddles, with and without noise.

Noise is added by `panorax.maths.optimisation.perturbed_descent`, with the constants of the theorem
of Jin et al. 2017 (arXiv:1703.00887) at the saddle of a double well. The chain of saddles is the
octopus function of Du et al. 2017 (arXiv:1705.10412), which descent without noise leaves in
exponentially many steps.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import figures
from panorax.core.state import Result
from panorax.core.study import family
from panorax.maths.optimisation.perturbed_descent import Noise, descent, jins
from panorax.theory.saddle_points import saddles

CHAIN_NOISE = Noise(radius=0.1, small=0.2, wait=10, enough=1e-3)
STARTS = 5
"""keys or starts of each measurement, whose median counts"""
KINDS = {"descent": None, "with_noise": CHAIN_NOISE}
"""kinds of descent along the chain"""


@jax.jit
def steps_out(keys, start, curvature, rate, noise: Noise):
    """Median steps from `start` to half the depth of the double well, over the keys."""
    f = saddles.double_well(curvature)
    half = -(curvature**2) / 8
    go = lambda key: descent(f, start, rate, 200_000, noise, key, half).steps
    return jnp.median(jax.vmap(go)(keys))


def leave_double_well(keys, curvature: float, d: int) -> float:
    """`steps_out` from the stable manifold of the saddle in R^d, with the theorem's constants."""
    rate, noise = jins(2.0, 6.0, curvature**2 / 24, d, 1.0)
    return float(steps_out(keys, jnp.zeros(d).at[0].set(1.0), curvature, rate, noise))


def stuck_at(d: int) -> float:
    """Distance from the stable manifold after 10,000 steps from it without noise."""
    f, start = saddles.double_well(1.0), jnp.zeros(d).at[0].set(1.0)
    return float(jnp.abs(jax.jit(lambda x: descent(f, x, 0.5, 10_000).x[-1])(start)))


def leave_chain(key, keys, saddle_count: int) -> dict[str, float]:
    """Median steps through a chain of saddles to its minimum, by kind of descent."""
    f, nu = saddles.octopus()
    starts = jax.random.uniform(
        jax.random.fold_in(key, saddle_count), (STARTS, saddle_count), minval=0.5, maxval=1.0
    )
    below = (0.5 - saddle_count) * nu

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(0, 0))
    def steps(x, key):
        return [descent(f, x, 0.05, 50_000, noise, key, below).steps for noise in KINDS.values()]

    medians = [float(np.median(each)) for each in steps(starts, keys)]
    return dict(zip(KINDS, medians, strict=True))


def growth(steps: dict[int, float]) -> float:
    """Mean factor by which one more saddle multiplies the steps, over the chain's second half."""
    last = max(steps)
    half = last // 2
    return (steps[last] / steps[half]) ** (1 / (last - half))


def power_of_curvature(steps: dict[float, float]) -> float:
    """Slope of log steps over log 1 / curvature."""
    return float(np.polyfit(-np.log([*steps]), np.log([*steps.values()]), 1)[0])


def escapes(
    key, curvatures: tuple[float, ...], dims: tuple[int, ...], longest_chain: int
) -> Result:
    """Steps over the curvature, the dimension and the number of saddles, in float64."""
    with jax.enable_x64(True):
        keys = jax.random.split(key, STARTS)
        by_curvature = {g: leave_double_well(keys, g, dims[0]) for g in curvatures}
        by_dimension = {d: leave_double_well(keys, curvatures[1], d) for d in dims}
        stuck = stuck_at(dims[0])
        by_chain = {n: leave_chain(key, keys, n) for n in range(1, longest_chain + 1)}
    chains = {kind: {n: steps[kind] for n, steps in by_chain.items()} for kind in KINDS}
    metrics = {
        **family("steps_curvature_{:g}", by_curvature),
        **family("steps_dimension_{}", by_dimension),
        **family("chain_{}_{}", {(kind, n): s for kind in KINDS for n, s in chains[kind].items()}),
        **family("chain_growth_{}", {kind: growth(chain) for kind, chain in chains.items()}),
        "steps_power_of_curvature": power_of_curvature(by_curvature),
        "steps_growth_with_dimension": by_dimension[dims[-1]] / by_dimension[dims[0]],
        "saddle_left_without_noise": stuck,
    }
    return Result(metrics, {"escapes.png": draw_escapes(by_curvature, by_dimension, chains)})


def draw_escapes(
    by_curvature: dict[float, float],
    by_dimension: dict[int, float],
    chains: dict[str, dict[int, float]],
):
    """Steps over 1 / curvature, over the dimension, and over the number of saddles."""
    figure, (curved, wide, chain) = figures.panels(3)
    curved.loglog(1 / np.array([*by_curvature]), [*by_curvature.values()], "o-")
    curved.set(title="one saddle, with noise", xlabel="1 / curvature", ylabel="steps")
    wide.semilogx([*by_dimension], [*by_dimension.values()], "o-")
    wide.set(title="one saddle, with noise", xlabel="dimension", ylabel="steps", ylim=(0, None))
    for kind, steps in chains.items():
        chain.semilogy([*steps], [*steps.values()], "o-", label=kind.replace("_", " "))
    chain.set(title="chain of saddles", xlabel="saddles", ylabel="steps")
    chain.xaxis.get_major_locator().set_params(integer=True)
    return figures.legends(figure)
