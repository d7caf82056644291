import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core import spec
from panorax.core.errors import UserError
from panorax.nets import unet

CFG = unet.Config(channels=(4, 8), blocks=1, attention=(False, True), head_dim=4, groups=2)
SHAPE = (4, 6, 3)
PARAMS = spec.init(unet.spec(CFG, SHAPE, 5), jax.random.key(0))
X = jnp.asarray(np.random.default_rng(0).normal(size=(3, *SHAPE)), jnp.float32)
T, LABEL = jnp.array([0.0, 0.5, 1.0]), jnp.array([0, 4, 2])
apply = jax.jit(unet.apply, static_argnames="cfg")


def test_the_initial_size_before_the_last_convolution_is_moderate():
    w = 0.1 * jax.random.normal(jax.random.key(2), PARAMS["out"]["w"].shape)
    params = PARAMS | {"out": PARAMS["out"] | {"w": w}}
    assert 0.1 < float(jnp.std(apply(params, X, T, LABEL, cfg=CFG))) < 10


def test_one_level_takes_images_of_any_size():
    cfg = unet.Config(channels=(8,), blocks=2, attention=(False,), head_dim=4, groups=4)
    params = spec.init(unet.spec(cfg, (3, 5, 1), 2), jax.random.key(0))
    y = apply(params, X[:, :3, :5, :1], T, LABEL % 2, cfg=cfg)
    chex.assert_shape(y, (3, 3, 5, 1))


def test_every_level_must_halve_the_image():
    message = "the sides of an image of {} must be multiples of 2 for 2 levels"
    with pytest.raises(ValueError, match=message.format("4 x 5")):
        unet.spec(CFG, (4, 5, 3), 5)
    with pytest.raises(ValueError, match=message.format("3 x 6")):
        unet.apply(PARAMS, X[:, :3], T, LABEL, CFG)


@pytest.mark.parametrize(
    "fields, message",
    [
        (
            {"attention": (True,)},
            r"net.attention \(True,\) must have one entry for each level of net.channels \(32, ",
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
def test_an_inconsistent_config_is_rejected(fields, message):
    with pytest.raises(ValueError, match=message):
        unet.Config(**fields)


def test_channels_are_positive():
    with pytest.raises(UserError, match="channels must be at least 1"):
        unet.Config(channels=(32, 0))
