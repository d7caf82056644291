import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorax.core import spec
from panorax.core.errors import UserError
from panorax.nets import unet

CFG = unet.Config(channels=(4, 8), blocks=1, attention=(False, True), head_dim=4, groups=2)
SHAPE = (4, 6, 3)
PARAMS = spec.init(unet.spec(CFG, SHAPE, 5), jax.random.key(0))
MOVED = jax.tree.map(lambda x: x + 0.1 * jax.random.normal(jax.random.key(1), x.shape), PARAMS)
X = jnp.asarray(np.random.default_rng(0).normal(size=(3, *SHAPE)), jnp.float32)
T, LABEL = jnp.array([0.0, 0.5, 1.0]), jnp.array([0, 4, 2])
apply = jax.jit(unet.apply, static_argnames="cfg")


def test_it_starts_as_the_constant_zero():
    np.testing.assert_array_equal(apply(PARAMS, X, T, LABEL, cfg=CFG), np.zeros_like(X))


def test_without_the_last_convolution_it_starts_at_a_moderate_size():
    out = {
        "w": 0.1 * jax.random.normal(jax.random.key(2), PARAMS["out"]["w"].shape),
        "b": PARAMS["out"]["b"],
    }
    assert 0.1 < float(jnp.std(apply(PARAMS | {"out": out}, X, T, LABEL, cfg=CFG))) < 10


@given(st.permutations(range(3)))
def test_rows_of_a_batch_do_not_see_each_other(order):
    order = np.array(order)
    np.testing.assert_allclose(
        apply(MOVED, X[order], T[order], LABEL[order], cfg=CFG),
        apply(MOVED, X, T, LABEL, cfg=CFG)[order],
        atol=2e-5,
    )


def test_time_class_and_every_pixel_matter():
    y = apply(MOVED, X, T, LABEL, cfg=CFG)
    assert not np.allclose(y, apply(MOVED, X, T[::-1], LABEL, cfg=CFG), atol=1e-4)
    assert not np.allclose(y, apply(MOVED, X, T, LABEL[::-1], cfg=CFG), atol=1e-4)
    gradient = jax.jit(
        jax.grad(lambda x: jnp.sum(jnp.square(unet.apply(MOVED, x, T, LABEL, CFG))))
    )(X)
    assert np.all(np.asarray(gradient) != 0)


def test_every_parameter_matters():
    gradients = jax.jit(
        jax.grad(lambda params: jnp.sum(jnp.square(unet.apply(params, X, T, LABEL, CFG))))
    )(MOVED)
    used = jax.tree.map(lambda g: bool(jnp.any(g != 0)), gradients)
    assert all(jax.tree.leaves(used)), used


def test_one_level_takes_any_image():
    cfg = unet.Config(channels=(8,), blocks=2, attention=(False,), head_dim=4, groups=4)
    params = spec.init(unet.spec(cfg, (3, 5, 1), 2), jax.random.key(0))
    assert jax.jit(unet.apply, static_argnames="cfg")(
        params, X[:, :3, :5, :1], T, LABEL % 2, cfg=cfg
    ).shape == (3, 3, 5, 1)


def test_what_does_not_divide_is_named():
    with pytest.raises(
        ValueError, match="the sides of an image of 4 x 5 must be multiples of 2 for 2 levels"
    ):
        unet.spec(CFG, (4, 5, 3), 5)
    with pytest.raises(
        ValueError, match="the sides of an image of 3 x 6 must be multiples of 2 for 2 levels"
    ):
        unet.apply(PARAMS, X[:, :3], T, LABEL, CFG)


@pytest.mark.parametrize(
    "fields, message",
    [
        (
            {"attention": (True,)},
            r"net.attention \(True,\) must have one entry for each level of net.channels \(32, 64\)",
        ),
        ({"channels": (), "attention": ()}, "must have one entry for each level"),
        ({"groups": 24}, r"net.channels \(32, 64\) must be multiples of net.groups 24"),
        ({"channels": (5, 10), "groups": 5, "head_dim": 2}, "the first of them even"),
        ({"head_dim": 24}, r"net.head-dim 24 must divide the channels \[64, 64\]"),
        (
            {"attention": (False, False), "head_dim": 48},
            r"net.head-dim 48 must divide the channels \[64\]",
        ),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        unet.Config(**fields)


def test_numbers_of_a_config_are_counts():
    with pytest.raises(UserError, match="channels must be at least 1"):
        unet.Config(channels=(32, 0))
