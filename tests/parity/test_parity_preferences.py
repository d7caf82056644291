"""Losses of preferences against trl: DPO, IPO, KTO, ORPO and SimPO."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.ops import preferences
from panorax.testing.tolerances import NUMBER


@pytest.fixture
def case(golden):
    with golden("preferences/drawn") as opened:
        yield opened


def test_losses_of_summed_and_averaged_log_probabilities(case):
    options, lengths = case.settings(), case["lengths"]
    beta, smoothing, margin = (options[name] for name in ("beta", "smoothing", "margin"))
    policy, reference = case["policy"].sum(1), case["reference"].sum(1)
    ratio, average = policy - reference, policy / lengths
    pair = lambda x: jnp.split(x, 2)
    close = lambda ours, name: np.testing.assert_allclose(ours, case[name], **NUMBER)

    close(jnp.mean(preferences.dpo_loss(*pair(ratio), beta)), "dpo")
    close(preferences.dpo_loss(*pair(ratio), beta, smoothing), "smooth_dpo")
    close(jnp.mean(preferences.ipo_loss(*pair(ratio / lengths), beta)), "ipo")
    close(
        preferences.simpo_loss(*pair(average), beta, margin) * (1 - smoothing)
        + preferences.simpo_loss(*pair(-average), beta, -margin) * smoothing,
        "simpo",
    )
    chosen, rejected = pair(average)
    odds = -chosen - preferences.orpo_loss(chosen, rejected, beta)
    np.testing.assert_allclose(odds, case["odds"], **NUMBER)

    chosen, rejected = pair(ratio)
    for name, is_clamped in (("below", True), ("above", False)):
        kl = preferences.mismatched_kl((case[f"kl_policy/{name}"] - case["kl_reference"]).sum(1))
        assert (float(kl) == 0.0) == is_clamped
        losses = [
            preferences.kto_loss(chosen, kl, True, beta),
            preferences.kto_loss(rejected, kl, False, beta),
        ]
        close(jnp.mean(jnp.concatenate(losses)), f"kto/{name}")


def test_the_reference_point_of_kto_has_no_gradient(case):
    case.unread.clear()
    ratio = case["policy"].sum(1) - case["reference"].sum(1)
    gradient = jax.grad(lambda x: preferences.mismatched_kl(x))(jnp.abs(ratio))
    assert not gradient.any()
