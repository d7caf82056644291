import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from panorax.core.errors import UserError
from panorax.theory.flat_minima import Config, Way, mean_loss, sam, sharpness, train_to_target

RNG = np.random.default_rng(0)
CURVES = jnp.array([4.0, 1.0, 0.25])
BOWL = lambda params: 0.5 * jnp.sum(CURVES * jnp.square(params["w"]))
X, LABEL = jnp.asarray(RNG.normal(size=(12, 5)), jnp.float32), jnp.asarray(RNG.integers(0, 10, 12))
NET = [
    {"w": jnp.asarray(RNG.normal(size=s) / s[0] ** 0.5, jnp.float32), "b": jnp.zeros(s[1])}
    for s in ((5, 8), (8, 10))
]


def test_the_step_of_sam_is_that_of_optax():
    loss = lambda params: mean_loss(params, X, LABEL)
    tx = optax.contrib.sam(
        optax.sgd(1.0), optax.chain(optax.contrib.normalize(), optax.sgd(0.1)), opaque_mode=True
    )
    updates, _ = tx.update(
        jax.grad(loss)(NET), tx.init(NET), NET, grad_fn=lambda params, _: jax.grad(loss)(params)
    )
    jax.tree.map(
        lambda u, g: np.testing.assert_allclose(-u, g, rtol=1e-4, atol=1e-6),
        updates,
        sam(0.1).update(jax.grad(loss)(NET), (), NET, value_fn=loss)[0],
    )
    jax.tree.map(
        np.testing.assert_array_equal,
        sam(0.0).update(jax.grad(loss)(NET), (), NET, value_fn=loss)[0],
        jax.grad(loss)(NET),
    )


def test_the_sharpness_of_a_bowl_at_its_bottom_and_on_its_axis():
    near = {"w": jnp.array([1e-3, 1e-3, 1e-3])}
    assert float(sharpness(BOWL, near, 0.5)) == pytest.approx(0.5 * 4 * 0.25, rel=0.02)
    on_axis = {"w": jnp.array([1.0, 0.0, 0.0])}
    assert float(sharpness(BOWL, on_axis, 0.5)) == pytest.approx(2 * (1.5**2 - 1), rel=1e-4)
    assert float(sharpness(lambda params: jnp.sum(params["w"]), on_axis, 0.5)) == pytest.approx(
        0.5 * 3**0.5, rel=1e-4
    )


def test_training_ends_at_the_first_look_below_the_target():
    cfg = Config(training=12, small=4, large=12, target=1.2, every=3)
    train = jax.jit(
        lambda key, cfg, way: train_to_target(key, NET, X, LABEL, way, cfg), static_argnums=(1, 2)
    )
    params, steps, loss = train(jax.random.key(0), cfg, Way(12, 0.2))
    assert loss <= 1.2 and steps % 3 == 0
    np.testing.assert_allclose(loss, mean_loss(params, X, LABEL), rtol=1e-5)
    by_hand, losses = NET, []
    for _ in range(int(steps)):
        by_hand = jax.tree.map(
            lambda w, g: w - 0.2 * g, by_hand, jax.grad(mean_loss)(by_hand, X, LABEL)
        )
        losses.append(float(mean_loss(by_hand, X, LABEL)))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), params, by_hand
    )
    assert all(x > 1.2 for x in losses[2:-3:3])
    slow, later, _ = train(jax.random.key(0), cfg, Way(12, 0.2, warmup=1000))
    assert later > steps


@pytest.mark.parametrize(
    "change", [{"seeds": 1}, {"large": 1024}, {"small": 512}, {"training": 1750}]
)
def test_what_cannot_be_compared_is_refused(change):
    with pytest.raises(UserError):
        Config(**change)
