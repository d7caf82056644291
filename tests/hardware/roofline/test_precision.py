import jax
import jax.numpy as jnp
import numpy as np

from panorax.hardware.roofline.precision import dot_products, sums


def test_sums_are_rounded_to_their_dtype_at_every_step():
    a = jnp.array([[1.0, 2.0**-9, 2.0**-9]], jnp.bfloat16)
    ones = jnp.ones((1, 3), jnp.bfloat16)
    assert dot_products(a, ones, "bfloat16") == 1  # 1 + 2^-9 rounds to 1, twice
    assert dot_products(a, ones, "float32") == 1 + 2.0**-8
    assert dot_products(a, ones, "bfloat16").dtype == jnp.bfloat16


def test_bfloat16_sums_stop_growing_with_the_length():
    """A sum of ones ends at 256, where 256 + 1 rounds to 256."""
    ones = jnp.ones((1, 1000), jnp.bfloat16)
    assert dot_products(ones, ones, "bfloat16") == 256
    metrics = sums(jax.random.key(0), (16, 1024), 8).metrics
    assert metrics["relative_error_sums_bfloat16"] > 0.1
    assert metrics["relative_error_sums_float32"] < 1e-5
    assert np.isclose(
        metrics["error_bfloat16_over_float32"],
        metrics["relative_error_sums_bfloat16"] / metrics["relative_error_sums_float32"],
    )
