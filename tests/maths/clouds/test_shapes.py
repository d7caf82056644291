import numpy as np
import pytest

from panorax.maths.clouds import shapes
from panorax.maths.topology.diagrams import lasting
from panorax.maths.topology.persistence import diagrams, distances

RNG = np.random.default_rng


def test_points_lie_on_their_shape():
    eight, sphere, torus = (
        shapes.figure_eight(RNG(0), 40),
        shapes.sphere(RNG(0), 40),
        shapes.torus(RNG(0), 40),
    )
    np.testing.assert_allclose(np.hypot(np.abs(eight[:, 0]) - 1, eight[:, 1]), 1)
    assert (eight[:, 0] > 1).any() and (eight[:, 0] < -1).any()
    np.testing.assert_allclose(np.linalg.norm(sphere, axis=1), 1)
    np.testing.assert_allclose(np.hypot(np.hypot(torus[:, 0], torus[:, 1]) - 2, torus[:, 2]), 1)
    np.testing.assert_allclose(
        np.linalg.norm(np.diff(shapes.regular_circle(7), axis=0), axis=1), 2 * np.sin(np.pi / 7)
    )


@pytest.mark.parametrize(
    "make, n, numbers",
    [
        (shapes.figure_eight, 50, (1, 2)),
        (shapes.sphere, 50, (1, 0, 1)),
        (shapes.torus, 160, (1, 2, 1)),
    ],
    ids=["eight", "sphere", "torus"],
)
def test_shapes_have_their_betti_numbers(make, n, numbers):
    assert lasting(diagrams(distances(make(RNG(1), n)), len(numbers) - 1))[0] == numbers


def test_points_that_are_taken_are_far_apart_and_leave_none_far():
    x = RNG(2).normal(size=(200, 2))
    taken = shapes.spread_out(x, 30)
    gap = distances(taken)[np.triu_indices(30, 1)].min()
    left = np.linalg.norm(x[:, None] - taken[None], axis=-1).min(1).max()
    assert left <= gap and len(np.unique(taken, axis=0)) == 30
    for n in (0, 201):
        with pytest.raises(ValueError, match="can be taken"):
            shapes.spread_out(x, n)
