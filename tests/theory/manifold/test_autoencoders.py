import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core import spec
from panorax.data.datasets import digit_vectors
from panorax.nets import mlp
from panorax.theory.manifold.autoencoders import bottleneck_errors, linear_error, reconstruct

KEY = jax.random.key(0)


def test_closed_code_coordinates_carry_nothing():
    params = spec.init({"encoder": mlp.spec((3, 8, 4)), "decoder": mlp.spec((4, 8, 3))}, KEY)
    x = jax.random.normal(KEY, (5, 3))
    closed = reconstruct(params, x, jnp.zeros(4))
    np.testing.assert_allclose(closed, jnp.broadcast_to(closed[:1], closed.shape))
    assert not np.allclose(reconstruct(params, x, jnp.array([1.0, 0, 0, 0])), closed)


def test_a_curve_needs_a_code_of_one_number_and_a_plane_of_two():
    t = jax.random.uniform(KEY, (300, 2)) - 0.5
    curve = jnp.stack([t[:, 0], jnp.square(t[:, 0]), jnp.zeros(300)], 1)
    plane = jnp.concatenate([t, jnp.sum(t, 1, keepdims=True)], 1)
    settings = {"widths": (1, 2), "hidden": (16,), "steps": 2000, "batch": 32}
    of_curve = bottleneck_errors(KEY, curve[:200], curve[200:], **settings)
    of_plane = bottleneck_errors(KEY, plane[:200], plane[200:], **settings)
    assert of_curve[0] < 0.02 and of_plane[0] > 0.1 and of_plane[1] < 0.02


def test_linear_error_is_the_tail_of_the_singular_values():
    x = digit_vectors()[0]
    singular = np.linalg.svd(x - x.mean(0), compute_uv=False)
    tail = np.sum(singular[10:] ** 2) / np.sum(singular**2)
    assert linear_error(x, x, 10) == pytest.approx(tail, rel=1e-4)
