import jax
import numpy as np
import pytest

from panorax.data.augmentation import mirrored, shifted

X = np.random.default_rng(0).uniform(-0.9, 0.9, size=(64, 5, 6, 2)).astype(np.float32)


@pytest.mark.parametrize(
    "border, mode", [("black", {"constant_values": -1.0}), ("reflect", {"mode": "reflect"})]
)
def test_shifts_give_all_windows_of_the_padded_image(border, mode):
    moved = np.asarray(jax.jit(shifted, static_argnums=(2, 3))(jax.random.key(0), X, 1, border))
    padded = np.pad(X, ((0, 0), (1, 1), (1, 1), (0, 0)), **mode)
    windows = {(y, x): padded[:, y : y + 5, x : x + 6] for y in range(3) for x in range(3)}
    corners = [
        next(corner for corner, window in windows.items() if (window[i] == moved[i]).all())
        for i in range(64)
    ]
    assert set(corners) == set(windows)


def test_about_half_of_the_images_are_mirrored_and_the_rest_unchanged():
    y = np.asarray(jax.jit(mirrored)(jax.random.key(0), X))
    same, mirror = (y == X).all((1, 2, 3)), (y == X[:, :, ::-1]).all((1, 2, 3))
    assert (same ^ mirror).all() and 20 < mirror.sum() < 44
