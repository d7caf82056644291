import numpy as np
import pytest

from panorax.rl.environments import pictures
from panorax.testing.tolerances import DOUBLE

VIEWS = {
    "CartPole-v1": np.array([0.5, 0, 0.3, 0]),
    "Pendulum-v1": np.array([1.0, 0, 0]),
    "Acrobot-v1": np.array([1.0, 0, 1, 0, 0, 0]),
    "MountainCar-v0": np.array([-0.5, 0]),
    "MountainCarContinuous-v0": np.array([-0.5, 0]),
}


@pytest.mark.parametrize("name", pictures.GEOMETRY)
def test_classic_control_is_drawn_inside_the_picture(name):
    view = VIEWS[name]
    for line in pictures.GEOMETRY[name](view):
        assert np.abs(line).max() <= 1
    image = pictures.picture_of(name, view.shape)(view)
    assert image.shape == (pictures.SIZE, pictures.SIZE, 3) and image.dtype == np.uint8
    assert 0 < (image.min(-1) < 255).mean() < 0.3


def test_the_ends_of_rods_are_where_the_angles_say():
    ((base, tip),) = pictures.pendulum(VIEWS["Pendulum-v1"])
    np.testing.assert_allclose(np.subtract(tip, base), [0, 0.8], **DOUBLE)  # upright
    upper, lower, _ = pictures.acrobot(VIEWS["Acrobot-v1"])
    np.testing.assert_allclose(np.subtract(lower[1], upper[0]), [0, -0.8], **DOUBLE)  # hanging


def test_channels_of_an_image_have_colours():
    view = np.zeros((10, 10, 4))
    view[2, 3, 1] = 1
    image = pictures.picture_of("Breakout-MinAtar", view.shape)(view)
    pixel = pictures.SIZE // 10
    np.testing.assert_array_equal(image[2 * pixel + 1, 3 * pixel + 1], pictures.PALETTE[1])
    assert image[0, 0].sum() == 0


def test_other_views_have_no_picture():
    assert pictures.picture_of("Umbrella-bsuite", (3,)) is None
    assert pictures.picture_of("x", (2, 2, 99)) is None
