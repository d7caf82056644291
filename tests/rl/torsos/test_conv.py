import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core import spec
from panorax.rl.torsos import conv, mlp
from panorax.testing.tolerances import LAYER

KEY = jax.random.key(0)
SHAPE = (4, 5, 2)


@pytest.mark.parametrize("cfg", [mlp.Config((7,)), conv.Config(3, 7)], ids=["mlp", "conv"])
@pytest.mark.parametrize("layer_norm", [False, True])
def test_a_torso_maps_views_with_any_leading_axes(cfg, layer_norm):
    module = mlp if isinstance(cfg, mlp.Config) else conv
    torso = module.torso(type(cfg)(**{**vars(cfg), "layer_norm": layer_norm}), SHAPE)
    params = spec.init(torso.spec, KEY)
    view = jax.random.normal(KEY, (2, 3, *SHAPE))
    features = torso.apply(params, view)
    assert features.shape == (2, 3, torso.width) and torso.width == 7
    single = torso.apply(params, view[1, 2])
    np.testing.assert_allclose(features[1, 2], single, **LAYER)
    doubled = torso.apply(params, 2 * view)
    assert np.allclose(doubled, features, **LAYER) == layer_norm  # biases are zero at first


def test_conv_refuses_views_that_are_no_images():
    with pytest.raises(ValueError, match=r"at least 3 x 3 pixels, not \(4,\)"):
        conv.torso(conv.Config(), (4,))
    with pytest.raises(ValueError, match="at least one hidden layer"):
        mlp.Config(())


def test_conv_equals_its_sum():
    torso = conv.torso(conv.Config(1, 1), (3, 3, 1))
    params = jax.tree.map(lambda x: jnp.ones_like(x), spec.init(torso.spec, KEY))
    view = jnp.arange(9.0).reshape(3, 3, 1)
    np.testing.assert_allclose(torso.apply(params, view), [36 + 1 + 1], **LAYER)
