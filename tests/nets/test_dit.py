import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorax.core.errors import UserError
from panorax.nets import dit


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 4))
def test_unpatchify_inverts_patchify(rows, columns, patch, channels):
    shape = (2, rows * patch, columns * patch, channels)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    tokens, grid = dit.patchify(jnp.asarray(x), patch)
    assert grid == (rows, columns) and tokens.shape == (2, rows * columns, patch**2 * channels)
    np.testing.assert_array_equal(dit.unpatchify(tokens, grid, patch), x)


def test_a_token_is_a_patch():
    image = jnp.arange(2 * 4 * 6 * 3.0).reshape(2, 4, 6, 3)
    tokens, _ = dit.patchify(image, 2)
    np.testing.assert_array_equal(tokens[0, 1].reshape(2, 2, 3), image[0, :2, 2:4])


def test_a_patch_must_tile_the_image():
    with pytest.raises(ValueError, match="patches of 4 do not tile an image of 4 x 6"):
        dit.patchify(jnp.zeros((3, 4, 6, 3)), 4)


def test_a_patch_that_does_not_fit_the_images_of_a_config_names_the_option():
    with pytest.raises(UserError, match="net.patch must divide the images of 4 x 6, got 4"):
        dit.net(dit.Config(patch=4), (4, 6, 1), 2)


def test_the_width_must_be_a_multiple_of_4():
    with pytest.raises(ValueError, match="must be a multiple of 4"):
        dit.Config(d_model=18)
