import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import iv

from panorax.maths.clouds.dimension import swiss_roll
from panorax.testing.tolerances import DOUBLE, LAYER, NUMBER
from panorax.theory.manifold.denoisers import (
    circle_field,
    field,
    learn_field,
    roll_normals,
    split_at_tangent,
)

DIFFERENCES = {"atol": 0.01}
"""error of tangents by finite differences"""

KEY = jax.random.key(0)
ANGLE = np.linspace(0, 2 * np.pi, 400, endpoint=False)
CIRCLE = jnp.asarray(np.stack([np.cos(ANGLE), np.sin(ANGLE)], 1), jnp.float32)


def test_circle_field_is_the_posterior_mean_minus_the_point():
    y = np.array([[0.5, 0.2], [1.4, -0.3], [-0.9, 0.4]])
    weight = np.exp(-np.sum((y[:, None] - np.asarray(CIRCLE)[None]) ** 2, -1) / (2 * 0.3**2))
    mean = weight @ np.asarray(CIRCLE) / weight.sum(1, keepdims=True)
    np.testing.assert_allclose(circle_field(jnp.asarray(y, jnp.float32), 0.3), mean - y, **LAYER)
    r = np.linalg.norm(y, axis=1)
    np.testing.assert_allclose(
        np.linalg.norm(circle_field(jnp.asarray(y, jnp.float32), 0.5) + y, axis=1),
        iv(1, r / 0.25) / iv(0, r / 0.25),
        **NUMBER,
    )


def test_denoiser_learns_the_circle_field():
    params, losses = learn_field(KEY, CIRCLE, 0.3, (32, 32), 800, 64)
    y = CIRCLE[::7] * jnp.linspace(0.7, 1.3, 58)[:, None]
    exact = circle_field(y, 0.3)
    assert jnp.linalg.norm(field(params, y) - exact) < 0.35 * jnp.linalg.norm(exact)
    assert losses.shape == (800,) and losses[-100:].mean() < losses[:20].mean()


def test_roll_normals_are_unit_vectors_across_the_roll():
    x, t = swiss_roll(KEY, 50)
    ahead = jnp.stack([(t + 1e-2) * jnp.cos(t + 1e-2), (t + 1e-2) * jnp.sin(t + 1e-2)], 1) / 10
    tangent = (ahead - x[:, [0, 2]]) / jnp.linalg.norm(ahead - x[:, [0, 2]], axis=1, keepdims=True)
    normal = roll_normals(t)
    np.testing.assert_allclose(jnp.linalg.norm(normal, axis=1), 1, **NUMBER)
    np.testing.assert_allclose(jnp.sum(normal[:, [0, 2]] * tangent, 1), 0, **DIFFERENCES)


def test_split_at_tangent_is_orthogonal_and_complete():
    rng = np.random.default_rng(0)
    tangent = np.linalg.qr(rng.normal(size=(3, 5, 2)))[0].swapaxes(1, 2)
    v = rng.normal(size=(3, 5))
    along, across = split_at_tangent(v, tangent)
    np.testing.assert_allclose(np.einsum("NdD,ND->Nd", tangent, across), 0, **DOUBLE)
    np.testing.assert_allclose(across + np.einsum("NdD,Nd->ND", tangent, along), v)
