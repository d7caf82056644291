"""Properties of functions of arrays, as assertions: for property-based tests of networks, operations and kernels.

Each takes the function, its arguments and tolerances, and raises AssertionError if the property does not hold.
Functions are pure and take arrays; close over parameters (`functools.partial(net.apply, params, ())`).
"""

from collections.abc import Callable, Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np


def assert_causal(f: Callable, x: jax.Array, position: int, axis: int = 1) -> None:
    """`f(x)` at `position` depends on `x` up to `position` along `axis`, and on nothing after it.

    Proven by the gradient of a random projection of the output: exactly zero after `position`, and not zero at it.
    `x` is floating point: for tokens, give the embedded text.
    """
    weights = np.random.default_rng(0)

    def projection(x):
        at = jnp.take(f(x), position, axis)
        return jnp.sum(at * weights.normal(size=at.shape).astype(at.dtype))

    slope = np.moveaxis(np.asarray(jax.grad(projection)(x)), axis, 0)
    assert not slope[position + 1 :].any(), f"the output at {position} depends on later inputs"
    assert slope[position].any(), f"the output at {position} does not depend on its own input"


def assert_row_independent(
    f: Callable, *args: jax.Array, rtol: float = 1e-5, atol: float = 1e-6
) -> None:
    """Row i of `f(*args)` depends on row i of the arguments alone: other rows may be anything."""
    n = len(args[0])
    rolled = [jnp.roll(x, 1, 0) for x in args]
    mixed = [jnp.concatenate([x[:1], y[1:]]) for x, y in zip(args, rolled)]
    whole, other = f(*args), f(*mixed)
    first = lambda tree: jax.tree.map(lambda y: y[:1], tree)
    chex.assert_trees_all_close(first(whole), first(other), rtol=rtol, atol=atol)
    moved = jax.tree.map(lambda y: jnp.roll(y, 1, 0), whole)
    chex.assert_trees_all_close(f(*rolled), moved, rtol=rtol, atol=atol)
    assert n > 1, "one row cannot show independence: give two or more"


def assert_permutation_equivariant(
    f: Callable,
    x: jax.Array,
    order: Sequence[int],
    axis: int = 1,
    rtol: float = 1e-5,
    atol: float = 1e-6,
) -> None:
    """`f` of `x` in another order along `axis` is `f(x)` in that order."""
    order = jnp.asarray(order)
    permuted = jnp.take(f(x), order, axis)
    chex.assert_trees_all_close(f(jnp.take(x, order, axis)), permuted, rtol=rtol, atol=atol)


def assert_chunks_equal_whole(
    step: Callable,
    state,
    x: jax.Array,
    cuts: Sequence[int],
    axis: int = 1,
    rtol: float = 1e-5,
    atol: float = 2e-5,
) -> None:
    """`step(state, piece) -> (state, y)` over pieces of `x` gives what one call over all of `x` gives.

    For recurrent state, key/value caches and scans: `cuts` are the positions along `axis` where `x` is cut.
    """
    last, whole = step(state, x)
    outputs = []
    for piece in jnp.split(x, list(cuts), axis):
        if piece.shape[axis]:
            state, y = step(state, piece)
            outputs.append(y)
    chex.assert_trees_all_close(jnp.concatenate(outputs, axis), whole, rtol=rtol, atol=atol)
    chex.assert_trees_all_close(state, last, rtol=rtol, atol=atol)


def assert_same_function(
    f: Callable,
    reference: Callable,
    *args: jax.Array,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    seed: int = 0,
) -> None:
    """`f` has the values of `reference`, and its gradients for a random cotangent: a kernel against its definition."""
    (ours, pull), (theirs, pull_reference) = jax.vjp(f, *args), jax.vjp(reference, *args)
    chex.assert_trees_all_equal_shapes_and_dtypes(ours, theirs)
    chex.assert_trees_all_close(ours, theirs, rtol=rtol, atol=atol)
    draw = np.random.default_rng(seed)
    cotangent = jax.tree.map(lambda y: jnp.asarray(draw.normal(size=y.shape), y.dtype), theirs)
    chex.assert_trees_all_close(pull(cotangent), pull_reference(cotangent), rtol=rtol, atol=atol)


def assert_sharded_equals_single(
    f: Callable, args: tuple, shardings: tuple, rtol: float = 1e-5, atol: float = 1e-5
) -> None:
    """`jit(f)` of arguments that lie as `shardings` say gives what one device gives."""
    single = jax.device_get(jax.jit(f)(*args))
    mesh = jax.tree.leaves(shardings)[0].mesh
    with jax.set_mesh(mesh):
        many = jax.device_get(jax.jit(f, in_shardings=shardings)(*jax.device_put(args, shardings)))
    chex.assert_trees_all_close(many, single, rtol=rtol, atol=atol)
