import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core.optim import AdamW, learning_rate, optimizer


@pytest.mark.parametrize("schedule, middle, end", [("constant", 1.0, 1.0), ("linear", 0.6, 0.2), ("cosine", 0.6, 0.2)])
def test_warm_up_then_decay(schedule, middle, end):
    rate = learning_rate(AdamW(peak_lr=1.0, final_lr=0.2, schedule=schedule, warmup=10), 110)
    np.testing.assert_allclose([rate(t) for t in (0, 5, 10, 60, 110, 500)], [0, 0.5, 1, middle, end, end], atol=1e-6)


def test_without_warm_up_the_first_step_is_at_the_peak():
    assert float(learning_rate(AdamW(peak_lr=0.3), 10)(0)) == pytest.approx(0.3)


def test_decay_touches_what_the_mask_names():
    params = {"w": jnp.ones(3), "scale": jnp.ones(3)}
    tx = optimizer(AdamW(peak_lr=0.1, schedule="constant", weight_decay=0.5), 10, {"w": True, "scale": False})
    updates, _ = tx.update({"w": jnp.zeros(3), "scale": jnp.zeros(3)}, tx.init(params), params)
    np.testing.assert_allclose(updates["w"], -0.05 * np.ones(3), rtol=1e-6)
    np.testing.assert_array_equal(updates["scale"], np.zeros(3))


def test_a_large_gradient_is_clipped():
    params = {"w": jnp.zeros(4)}
    tx = optimizer(AdamW(clip=1.0, schedule="constant"), 10)
    big, bigger = (tx.update({"w": jnp.full(4, x)}, tx.init(params), params)[1] for x in (1e3, 1e6))
    np.testing.assert_allclose(*(s[1][0].mu["w"] for s in (big, bigger)), rtol=1e-5)
