import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from panorax.maths.clouds.neighbors import checked_cloud, nearest, squared_distances
from panorax.testing.tolerances import LAYER, NUMBER

RNG = np.random.default_rng(0)
X = RNG.normal(size=(70, 5)).astype(np.float32) + 3


@pytest.mark.parametrize("block", [16, 35, 512])
def test_neighbours_match_scikit_learn(block):
    d2, index = nearest(jnp.asarray(X), 6, block=block)
    distance, expected = NearestNeighbors(n_neighbors=6).fit(X).kneighbors()
    np.testing.assert_array_equal(index, expected)
    np.testing.assert_allclose(np.sqrt(d2), distance, **NUMBER)


@given(st.integers(0, 1000))
def test_distances_are_invariant_to_rotation_and_translation(seed):
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    moved = (X @ rotation + rng.normal(size=5)[None]).astype(np.float32)
    np.testing.assert_allclose(
        nearest(jnp.asarray(moved), 4)[0], nearest(jnp.asarray(X), 4)[0], **LAYER
    )


def test_a_copy_of_a_point_is_its_neighbour_and_the_point_itself_is_not():
    x = np.array([[0, 0], [0, 0], [3, 4]], np.float32)
    d2, index = nearest(jnp.asarray(x), 2)
    np.testing.assert_array_equal(index, [[1, 2], [0, 2], [0, 1]])
    np.testing.assert_allclose(d2, [[0, 25], [0, 25], [25, 25]], **NUMBER)
    np.testing.assert_allclose(
        squared_distances(jnp.asarray(x), jnp.asarray(x[:1]))[:, 0], [0, 0, 25]
    )


@pytest.mark.parametrize(
    "x, message",
    [
        (np.zeros((0, 2)), "at least 2 points"),
        (np.zeros((1, 2)), "at least 2 points"),
        (np.zeros((3, 0)), "shape"),
        (np.zeros(5), "shape"),
        (np.array([[0.0, np.nan], [1, 2]]), "finite"),
        (np.full((3, 2), np.inf), "finite"),
        (np.ones((4, 2)), "the same point"),
    ],
)
def test_invalid_clouds_are_refused(x, message):
    with pytest.raises(ValueError, match=message):
        checked_cloud(x)


@pytest.mark.parametrize("k", [0, 70])
def test_k_outside_1_to_n_minus_1_is_refused(k):
    with pytest.raises(ValueError, match="between 1 and 69 for 70 points"):
        nearest(jnp.asarray(X), k)
