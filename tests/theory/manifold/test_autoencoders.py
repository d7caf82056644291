import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import iv

from panorax.core import spec
from panorax.nets import mlp
from panorax.theory.manifold.autoencoders import (
    bottleneck_errors,
    circle_field,
    field,
    learn_field,
    rebuilt,
)

KEY = jax.random.key(0)
ANGLE = np.linspace(0, 2 * np.pi, 400, endpoint=False)
CIRCLE = jnp.asarray(np.stack([np.cos(ANGLE), np.sin(ANGLE)], 1), jnp.float32)


def test_the_field_of_the_circle_is_the_mean_of_what_a_point_may_have_been():
    y = np.array([[0.5, 0.2], [1.4, -0.3], [-0.9, 0.4]])
    weight = np.exp(-np.sum((y[:, None] - np.asarray(CIRCLE)[None]) ** 2, -1) / (2 * 0.3**2))
    mean = weight @ np.asarray(CIRCLE) / weight.sum(1, keepdims=True)
    np.testing.assert_allclose(circle_field(jnp.asarray(y, jnp.float32), 0.3), mean - y, atol=1e-5)
    r = np.linalg.norm(y, axis=1)
    np.testing.assert_allclose(
        np.linalg.norm(circle_field(jnp.asarray(y, jnp.float32), 0.5) + y, axis=1),
        iv(1, r / 0.25) / iv(0, r / 0.25),
        rtol=1e-6,
    )


def test_a_denoiser_learns_it():
    params, losses = learn_field(KEY, CIRCLE, 0.3, (32, 32), 800, 64)
    y = CIRCLE[::7] * jnp.linspace(0.7, 1.3, 58)[:, None]
    exact = circle_field(y, 0.3)
    assert jnp.linalg.norm(field(params, y) - exact) < 0.35 * jnp.linalg.norm(exact)
    assert losses.shape == (800,) and losses[-100:].mean() < losses[:20].mean()


def test_a_closed_number_says_nothing():
    params = spec.init({"encoder": mlp.spec((3, 8, 4)), "decoder": mlp.spec((4, 8, 3))}, KEY)
    x = jax.random.normal(KEY, (5, 3))
    closed = rebuilt(params, x, jnp.zeros(4))
    np.testing.assert_allclose(closed, jnp.broadcast_to(closed[:1], closed.shape))
    assert not np.allclose(rebuilt(params, x, jnp.array([1.0, 0, 0, 0])), closed)


def test_a_curve_needs_one_number_and_a_plane_two():
    t = jax.random.uniform(KEY, (300, 2)) - 0.5
    curve = jnp.stack([t[:, 0], jnp.square(t[:, 0]), jnp.zeros(300)], 1)
    plane = jnp.concatenate([t, jnp.sum(t, 1, keepdims=True)], 1)
    settings = {"widths": (1, 2), "hidden": (16,), "steps": 2000, "batch": 32}
    of_curve = bottleneck_errors(KEY, curve[:200], curve[200:], **settings)
    of_plane = bottleneck_errors(KEY, plane[:200], plane[200:], **settings)
    assert of_curve[0] < 0.02 and of_plane[0] > 0.1 and of_plane[1] < 0.02
