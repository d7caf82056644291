import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from panorax.maths.optimisation.sharpness import sam, sharpness
from panorax.nets import mlp
from panorax.testing.tolerances import NUMBER

RNG = np.random.default_rng(0)
CURVATURES = jnp.array([4.0, 1.0, 0.25])
BOWL = lambda params: 0.5 * jnp.sum(CURVATURES * jnp.square(params["w"]))
X = jnp.asarray(RNG.normal(size=(12, 5)), jnp.float32)
NET = [
    {"w": jnp.asarray(RNG.normal(size=s) / s[0] ** 0.5, jnp.float32), "b": jnp.zeros(s[1])}
    for s in ((5, 8), (8, 10))
]


def test_sam_gives_the_gradient_of_optax_sam():
    loss = lambda params: jnp.mean(jax.nn.logsumexp(mlp.perceptron(params, X), 1))
    gradient = jax.grad(loss)(NET)
    tx = optax.contrib.sam(
        optax.sgd(1.0), optax.chain(optax.contrib.normalize(), optax.sgd(0.1)), opaque_mode=True
    )
    updates, _ = tx.update(
        gradient, tx.init(NET), NET, grad_fn=lambda params, _: jax.grad(loss)(params)
    )
    ours, _ = sam(0.1).update(gradient, (), NET, value_fn=loss)
    negated = jax.tree.map(jnp.negative, updates)
    chex.assert_trees_all_close(ours, negated, **NUMBER)


def test_sam_of_radius_zero_leaves_the_gradient_unchanged():
    gradient = jax.tree.map(jnp.ones_like, NET)
    unchanged, _ = sam(0.0).update(gradient, (), NET, value_fn=lambda params: 0.0)
    chex.assert_trees_all_equal(unchanged, gradient)


def test_sharpness_of_a_bowl_at_its_minimum_is_half_its_largest_curvature_times_rho_squared():
    near_minimum = {"w": jnp.array([1e-3, 1e-3, 1e-3])}
    assert float(sharpness(BOWL, near_minimum, 0.5)) == pytest.approx(0.5 * 4 * 0.25, rel=0.02)


def test_sharpness_away_from_a_minimum():
    on_axis = {"w": jnp.array([1.0, 0.0, 0.0])}
    assert float(sharpness(BOWL, on_axis, 0.5)) == pytest.approx(2 * (1.5**2 - 1), rel=1e-4)
    linear = lambda params: jnp.sum(params["w"])
    assert float(sharpness(linear, on_axis, 0.5)) == pytest.approx(0.5 * 3**0.5, rel=1e-4)
