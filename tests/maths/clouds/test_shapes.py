import numpy as np
import pytest

from panorax.maths.clouds import shapes
from panorax.maths.topology.diagrams import lasting
from panorax.maths.topology.persistence import diagrams, distances

RNG = np.random.default_rng


def test_points_lie_on_their_shape():
    makers = (shapes.figure_eight, shapes.sphere, shapes.torus)
    eight, sphere, torus = (make(RNG(0), 40) for make in makers)
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


def test_spread_out_points_are_far_apart_and_cover_the_cloud():
    x = RNG(2).normal(size=(200, 2))
    sample = shapes.spread_out(x, 30)
    separation = distances(sample)[np.triu_indices(30, 1)].min()
    covering = np.linalg.norm(x[:, None] - sample[None], axis=-1).min(1).max()
    assert covering <= separation and len(np.unique(sample, axis=0)) == 30
    for n in (0, 201):
        with pytest.raises(ValueError, match="n must lie between 1 and"):
            shapes.spread_out(x, n)
