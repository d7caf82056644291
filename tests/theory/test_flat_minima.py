import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core.errors import UserError
from panorax.testing.tolerances import NUMBER
from panorax.theory.flat_minima import (
    Config,
    Method,
    Minimum,
    mean_loss,
    metrics_of,
    train_to_target,
)

RNG = np.random.default_rng(0)
X, LABEL = jnp.asarray(RNG.normal(size=(12, 5)), jnp.float32), jnp.asarray(RNG.integers(0, 10, 12))
NET = [
    {"w": jnp.asarray(RNG.normal(size=s) / s[0] ** 0.5, jnp.float32), "b": jnp.zeros(s[1])}
    for s in ((5, 8), (8, 10))
]


def test_training_stops_at_the_first_check_below_the_target():
    cfg = Config(training=12, small=4, large=12, target=1.2, every=3)
    train = jax.jit(
        lambda key, cfg, method: train_to_target(key, NET, X, LABEL, method, cfg),
        static_argnums=(1, 2),
    )
    params, steps, loss = train(jax.random.key(0), cfg, Method(12, 0.2))
    assert loss <= 1.2 and steps % 3 == 0
    np.testing.assert_allclose(loss, mean_loss(params, X, LABEL), **NUMBER)
    expected, losses = NET, []
    for _ in range(int(steps)):
        gradient = jax.grad(mean_loss)(expected, X, LABEL)
        expected = jax.tree.map(lambda w, g: w - 0.2 * g, expected, gradient)
        losses.append(float(mean_loss(expected, X, LABEL)))
    chex.assert_trees_all_close(params, expected, **NUMBER)
    assert all(x > 1.2 for x in losses[2:-3:3])
    _, slow_steps, _ = train(jax.random.key(0), cfg, Method(12, 0.2, warmup=1000))
    assert slow_steps > steps


def test_differences_are_paired_by_seed():
    minimum = lambda x: Minimum(*[np.asarray(x, np.float64)] * len(Minimum._fields))
    minima = {name: minimum([1.0, 2.0]) for name in Config().methods()}
    metrics = metrics_of(minima | {"large": minimum([4.0, 5.0])})
    assert metrics["gap_large"] == 4.5 and metrics["steps_small"] == 1.5
    assert metrics["gap_large_over_small_low"] == metrics["gap_large_over_small_high"] == 3
    assert metrics["largest_loss"] == 5 and metrics["smallest_loss"] == 1


@pytest.mark.parametrize(
    "wrong", [{"seeds": 1}, {"large": 1024}, {"small": 512}, {"training": 1750}]
)
def test_sizes_that_cannot_be_compared_are_refused(wrong):
    with pytest.raises(UserError, match="must be"):
        Config(**wrong)
