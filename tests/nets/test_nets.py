"""Properties of every velocity field v(x, t, label): DiT, U-Net and multi-layer perceptron."""

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.nets import dit, unet, velocity_mlp
from panorax.testing.tolerances import CACHED

DIFFERENT = {"atol": 1e-4}
"""outputs that differ by more are not the same"""

CLASSES = 5
T, LABEL = jnp.array([0.0, 0.5, 1.0]), jnp.array([0, 4, 2])
UNET = unet.Config(channels=(4, 8), blocks=1, attention=(False, True), head_dim=4, groups=2)
DIT = dit.Config(patch=2, d_model=16, n_layers=2, n_heads=2, d_ff=16)
MLP = velocity_mlp.Config(hidden=(8, 8), time_width=4)
FIELDS = {
    "dit": (dit, DIT, (4, 6, 3)),
    "unet": (unet, UNET, (4, 6, 3)),
    "velocity_mlp": (velocity_mlp, MLP, (2,)),
}


class Field(NamedTuple):
    """A compiled field, its initial parameters, the same with noise, and inputs."""

    apply: Callable
    initial: dict
    noisy: dict
    x: jax.Array


@pytest.fixture(scope="module", params=FIELDS)
def field(request) -> Field:
    module, cfg, shape = FIELDS[request.param]
    net = module.net(cfg, shape, CLASSES)
    initial, extra = net.init(jax.random.key(0))
    noise = lambda p: 0.1 * jax.random.normal(jax.random.key(1), p.shape)
    noisy = jax.tree.map(lambda p: p + noise(p), initial)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, *shape)), jnp.float32)
    apply = jax.jit(lambda params, x, t, label: net.apply(params, extra, x, t, label)[0])
    return Field(apply, initial, noisy, x)


def test_the_initial_field_is_zero_with_the_shape_and_dtype_of_x(field):
    y = field.apply(field.initial, field.x, T, LABEL)
    chex.assert_trees_all_equal(y, jnp.zeros_like(field.x))


def test_rows_are_independent(field):
    order = np.array([2, 0, 1])
    y = field.apply(field.noisy, field.x, T, LABEL)
    reordered = field.apply(field.noisy, field.x[order], T[order], LABEL[order])
    np.testing.assert_allclose(reordered, y[order], **CACHED)


def test_the_field_depends_on_time_and_label(field):
    y = field.apply(field.noisy, field.x, T, LABEL)
    for t, label in ((T[::-1], LABEL), (T, LABEL[::-1])):
        assert not np.allclose(y, field.apply(field.noisy, field.x, t, label), **DIFFERENT)


def test_the_field_depends_on_every_input_and_every_parameter(field):
    square = lambda params, x: jnp.sum(jnp.square(field.apply(params, x, T, LABEL)))
    by_params, by_x = jax.jit(jax.grad(square, (0, 1)))(field.noisy, field.x)
    used = jax.tree.map(lambda g: bool(jnp.any(g != 0)), by_params)
    assert jnp.all(by_x != 0) and all(jax.tree.leaves(used)), used
