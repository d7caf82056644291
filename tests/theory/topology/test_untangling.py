import chex
import jax
import numpy as np
import pytest

from panorax.maths.topology.persistence import distances
from panorax.theory.topology.untangling import (
    betti_numbers,
    linked_rings,
    steps_between,
    train_each,
)

INTEGRAL = {"atol": 0.01}
"""error of an integral over rings of 200 points"""


def test_betti_numbers_of_rings_discs_and_segments_at_any_scale():
    first, second = linked_rings(3, 100)
    assert betti_numbers(first) == betti_numbers(1e-3 * second) == (3, 3)
    stretched = first * np.array([1.0, 3.0, 1.0])
    assert betti_numbers(stretched) == (3, 3)
    assert betti_numbers(first[:, :1]) == (3, 0)
    assert betti_numbers(np.zeros((20, 2))) == (1, 0)
    disc = np.stack(np.meshgrid(np.arange(8.0), np.arange(8.0)), -1).reshape(-1, 2)
    assert betti_numbers(disc) == (1, 0)


def test_each_ring_is_linked_with_its_partner_only():
    """Gauss' linking number is 1 or -1 for the rings of a pair, 0 for rings of different pairs."""
    first, second = (rings.reshape(2, 200, 3).astype(np.float64) for rings in linked_rings(2, 200))

    def linking(a, b):
        da, db, apart = np.roll(a, -1, 0) - a, np.roll(b, -1, 0) - b, a[:, None] - b[None]
        middle = apart + (da[:, None] - db[None]) / 2
        triple = np.einsum("ijk,ijk->ij", middle, np.cross(da[:, None], db[None]))
        return (triple / np.linalg.norm(middle, axis=-1) ** 3).sum() / (4 * np.pi)

    numbers = np.array([[linking(a, b) for b in second] for a in first])
    np.testing.assert_allclose(np.abs(numbers), np.eye(2), **INTEGRAL)


def test_steps_between_points_of_the_neighbour_graph():
    line = distances(np.array([[0.0], [1], [2.1], [3.3], [9], [10]]))
    steps = steps_between(line, 1)
    assert steps[0].tolist() == [0, 1, 2, 3, np.inf, np.inf] and steps[4, 5] == 1
    assert (steps == steps.T).all()
    assert (steps_between(line, 5) == 1 - np.eye(6)).all()
    for neighbours in (0, 6):
        with pytest.raises(ValueError, match="has 1 to 5 neighbours"):
            steps_between(line, neighbours)


def test_a_network_learns_and_returns_its_first_class_in_each_layer():
    first, second = linked_rings(1, 30)
    keys = jax.random.split(jax.random.key(0), 2)
    accuracy, clouds = train_each(keys, first, second, 8, 2, "relu", 600, 1e-2)
    assert (accuracy > 0.95).all()
    chex.assert_shape(clouds, [(2, 30, 3), (2, 30, 8), (2, 30, 8)])
    np.testing.assert_array_equal(clouds[0][1], first)
    assert (np.asarray(clouds[1]) >= 0).all() and not np.array_equal(clouds[2][0], clouds[2][1])
