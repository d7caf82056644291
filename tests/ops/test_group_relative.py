"""Advantages, clipped losses and their means by loops in NumPy, as trl's formulas have them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.ops.group_relative import (
    aggregated,
    clipped_policy_loss,
    group_advantages,
    reference_kl,
)
from panorax.testing.tolerances import LAYER, NUMBER

RNG = np.random.default_rng(0)
REWARD = np.array([[1, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 0]], np.float32)
WEIGHT = np.array([[1, 1, 1], [1, 0, 0], [1, 1, 0]], np.float32)
LOSS, OLD, NEW = RNG.normal(size=(3, 3, 3)).astype(np.float32)


def test_advantages_are_standardised_within_groups():
    centred = REWARD - REWARD.mean(1, keepdims=True)
    group = centred / (REWARD.std(1, ddof=1, keepdims=True) + 1e-4)
    batch = centred / (REWARD.std(ddof=1) + 1e-4)
    for scale, expected in (("group", group), ("batch", batch), ("none", centred)):
        np.testing.assert_allclose(group_advantages(jnp.asarray(REWARD), scale), expected, **LAYER)
    equal = group_advantages(jnp.asarray(REWARD))[1]
    np.testing.assert_array_equal(equal, np.zeros(4))


@pytest.mark.parametrize("level", ["token", "sequence"])
def test_losses_are_clipped_on_the_side_that_the_advantage_rewards(level):
    advantage = np.array([1.0, -2.0, 0.5], np.float32)
    log_ratio = NEW - OLD
    if level == "sequence":
        mean = (log_ratio * WEIGHT).sum(1) / WEIGHT.sum(1)
        log_ratio = np.repeat(mean[:, None], 3, 1)
    ratio = np.exp(log_ratio)
    expected, active = np.zeros((2, 3, 3))
    for i, A in enumerate(advantage):
        for t in range(3):
            w = ratio[i, t]
            is_far = w > 1.3 if A > 0 else w < 0.8
            expected[i, t] = -A * ((1.3 if A > 0 else 0.8) if is_far else w)
            active[i, t] = is_far
    arrays = map(jnp.asarray, (NEW, OLD, advantage, WEIGHT))
    loss, clipped = clipped_policy_loss(*arrays, level, 0.2, 0.3)
    np.testing.assert_allclose(loss, expected, **LAYER)
    np.testing.assert_array_equal(clipped, active)


def test_on_policy_the_gradient_is_that_of_reinforce():
    advantage = jnp.array([1.0, -2.0, 0.5])

    def mean(new, level):
        loss, _ = clipped_policy_loss(
            new, jnp.asarray(OLD), advantage, jnp.asarray(WEIGHT), level, 0.2, 0.2
        )
        return jnp.sum(loss * WEIGHT)

    expected = -np.asarray(advantage)[:, None] * WEIGHT
    for level in ("token", "sequence"):
        np.testing.assert_allclose(jax.grad(mean)(jnp.asarray(OLD), level), expected, **LAYER)


def test_the_divergence_is_positive_and_zero_at_the_reference():
    new, old = jnp.asarray(NEW), jnp.asarray(OLD)
    kl = np.asarray(reference_kl(new, old))
    ratio = np.exp(OLD - NEW)
    np.testing.assert_allclose(kl, ratio - np.log(ratio) - 1, **LAYER)
    assert (kl >= 0).all() and not np.asarray(reference_kl(new, new)).any()


def test_means_differ_in_what_they_divide_by():
    total, of_rows = (LOSS * WEIGHT).sum(), (LOSS * WEIGHT).sum(1) / WEIGHT.sum(1)
    expected = {
        "grpo": of_rows.mean(),
        "bnpo": total / 6,
        "dapo": total / (3 * 2.5),
        "dr_grpo": total / 9,
    }
    for how, value in expected.items():
        ours = aggregated(jnp.asarray(LOSS), jnp.asarray(WEIGHT), how, jnp.float32(2.5))
        np.testing.assert_allclose(ours, value, **NUMBER, err_msg=how)
    nothing = aggregated(jnp.asarray(LOSS), jnp.zeros((3, 3)), "grpo", jnp.float32(1))
    assert float(nothing) == 0
