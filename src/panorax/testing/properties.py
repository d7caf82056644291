"""Properties of functions of arrays, as assertions for property-based tests.

Each assertion takes a pure function, its arguments and tolerances, and raises AssertionError if the
property does not hold. Close over parameters: `functools.partial(net.apply, params, ())`.
"""

from collections.abc import Callable, Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np


def assert_causal(f: Callable, x: jax.Array, position: int, axis: int = 1) -> None:
    """Asserts that `f(x)` at `position` along `axis` depends on `x` up to `position` only.

    The gradient of a random projection of this output must be exactly zero after `position` and
    nonzero at `position`. `x` is floating point: for tokens, pass their embeddings.
    """
    rng = np.random.default_rng(0)

    def projection(x):
        at = jnp.take(f(x), position, axis)
        return jnp.sum(at * rng.normal(size=at.shape).astype(at.dtype))

    gradient = np.moveaxis(np.asarray(jax.grad(projection)(x)), axis, 0)
    assert not gradient[position + 1 :].any(), f"the output at {position} depends on later inputs"
    assert gradient[position].any(), f"the output at {position} does not depend on its own input"


def assert_row_independent(
    f: Callable, *args: jax.Array, rtol: float = 1e-5, atol: float = 1e-6
) -> None:
    """Asserts that row i of `f(*args)` depends on row i of the arguments only.

    The arguments need at least two rows.
    """
    n = len(args[0])
    rolled = [jnp.roll(x, 1, 0) for x in args]
    mixed = [jnp.concatenate([x[:1], y[1:]]) for x, y in zip(args, rolled)]
    whole, replaced = f(*args), f(*mixed)
    first = lambda tree: jax.tree.map(lambda y: y[:1], tree)
    chex.assert_trees_all_close(first(whole), first(replaced), rtol=rtol, atol=atol)
    moved = jax.tree.map(lambda y: jnp.roll(y, 1, 0), whole)
    chex.assert_trees_all_close(f(*rolled), moved, rtol=rtol, atol=atol)
    assert n > 1, "one row cannot show independence: pass two or more"


def assert_permutation_equivariant(
    f: Callable,
    x: jax.Array,
    order: Sequence[int],
    axis: int = 1,
    rtol: float = 1e-5,
    atol: float = 1e-6,
) -> None:
    """Asserts that permuting `x` along `axis` by `order` permutes `f(x)` in the same way."""
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
    """Asserts that `step(state, x) -> (state, y)` over pieces of `x` equals one call over `x`.

    This tests recurrent states, key/value caches and scans. `x` is cut at the positions `cuts`
    along `axis`.
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
    """Asserts that `f` and `reference` have equal values, and equal VJPs of a random cotangent."""
    (ours, pull), (theirs, pull_reference) = jax.vjp(f, *args), jax.vjp(reference, *args)
    chex.assert_trees_all_equal_shapes_and_dtypes(ours, theirs)
    chex.assert_trees_all_close(ours, theirs, rtol=rtol, atol=atol)
    rng = np.random.default_rng(seed)
    cotangent = jax.tree.map(lambda y: jnp.asarray(rng.normal(size=y.shape), y.dtype), theirs)
    chex.assert_trees_all_close(pull(cotangent), pull_reference(cotangent), rtol=rtol, atol=atol)


def assert_sharded_equals_single(
    f: Callable, args: tuple, shardings: tuple, rtol: float = 1e-5, atol: float = 1e-5
) -> None:
    """Asserts that `jit(f)` of arguments with these shardings equals `jit(f)` on one device."""
    single = jax.device_get(jax.jit(f)(*args))
    mesh = jax.tree.leaves(shardings)[0].mesh
    with jax.set_mesh(mesh):
        many = jax.device_get(jax.jit(f, in_shardings=shardings)(*jax.device_put(args, shardings)))
    chex.assert_trees_all_close(many, single, rtol=rtol, atol=atol)
