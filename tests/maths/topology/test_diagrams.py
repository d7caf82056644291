import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorax.maths.topology.diagrams import (
    betti,
    bottleneck,
    hausdorff,
    largest_ratio,
    lasting,
    lengths,
    total_persistence,
)
from panorax.maths.topology.persistence import diagrams, distances

INF = np.inf


def random_diagram(rng, n):
    birth = rng.integers(0, 6, n)
    return np.stack([birth, birth + rng.integers(0, 5, n)], 1).astype(float)


def by_all_matchings(a, b):
    """Bottleneck distance by brute force; rows are the points of a and diagonals for b."""
    cost = np.zeros((len(a) + len(b),) * 2)
    cost[: len(a), : len(b)] = np.abs(a[:, None] - b[None]).max(-1)
    cost[: len(a), len(b) :] = ((a[:, 1] - a[:, 0]) / 2)[:, None]
    cost[len(a) :, : len(b)] = ((b[:, 1] - b[:, 0]) / 2)[None]
    return min(
        max((cost[i, j] for i, j in enumerate(p)), default=0.0)
        for p in itertools.permutations(range(len(cost)))
    )


@given(st.integers(0, 2**32 - 1), st.integers(0, 3), st.integers(0, 3))
def test_bottleneck_is_the_best_of_all_matchings(seed, n, m):
    rng = np.random.default_rng(seed)
    a, b = random_diagram(rng, n), random_diagram(rng, m)
    assert bottleneck(a, b) == by_all_matchings(a, b) == bottleneck(b, a)


@given(st.integers(0, 2**32 - 1))
def test_bottleneck_is_a_metric_and_ignores_diagonal_points(seed):
    rng = np.random.default_rng(seed)
    a, b, c = (random_diagram(rng, n) for n in (12, 9, 15))
    assert bottleneck(a, a) == 0
    assert bottleneck(a, c) <= bottleneck(a, b) + bottleneck(b, c)
    assert bottleneck(a, b) == bottleneck(np.concatenate([a, [[2.0, 2.0]]]), b)


def test_infinite_bars_are_matched_with_each_other():
    assert bottleneck([[0, INF], [3, INF]], [[4, INF], [0.5, INF]]) == 1
    assert bottleneck([[0, INF]], [[0, 5.0]]) == INF
    assert bottleneck([[0, INF], [0, 8.0]], [[0, INF]]) == 4
    assert bottleneck(np.zeros((0, 2)), np.zeros((0, 2))) == 0


@given(st.integers(0, 2**32 - 1), st.floats(0, 0.5))
def test_diagrams_are_stable(seed, size):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(20, 2))
    y = x + size * rng.normal(size=x.shape)
    part = x[: rng.integers(5, 20)]
    of_x, of_y, of_part = (diagrams(distances(cloud), 2) for cloud in (x, y, part))
    for k in range(3):
        distance = bottleneck(of_x[k], of_y[k])
        assert distance <= np.abs(distances(x) - distances(y)).max() + 1e-12
        assert distance <= 2 * np.linalg.norm(x - y, axis=1).max() + 1e-12
        assert distance <= 2 * hausdorff(x, y) + 1e-12
        assert bottleneck(of_x[k], of_part[k]) <= 2 * hausdorff(x, part) + 1e-12


def test_the_factor_2_of_stability_is_attained():
    near, far = (diagrams(distances([[-x], [x]])) for x in (1.0, 1.25))
    assert bottleneck(near[0], far[0]) == 0.5


def test_statistics_of_a_diagram():
    diagram = [[0, INF], [1, 2], [1, 4], [3, 4]]
    assert [betti(diagram, t) for t in (0, 1, 1.9, 2, 3, 4, 99)] == [1, 3, 3, 2, 3, 1, 1]
    assert lengths(diagram).tolist() == [INF, 3, 1, 1]
    assert total_persistence(diagram) == 5 and total_persistence(diagram, 2) == 11
    assert largest_ratio(diagram) == 4 and largest_ratio(np.zeros((0, 2))) == 1


def test_lasting_finds_the_longest_interval_by_ratio():
    components, loops = [[0, 1], [0, 1.5], [0, INF]], [[1.5, 3], [2, 2.5]]
    assert lasting([components, loops]) == ((2, 0), 1.0, 1.5)
    assert lasting([components, [[1.5, 3]]]) == ((1, 1), 1.5, 3.0)
    # 3 / 1 > 8 / 3, though 8 - 3 > 3 - 1
    assert lasting([[[0, 1], [0, 3], [0, INF]], [[3, 8]]]) == ((2, 0), 1.0, 3.0)
    with pytest.raises(ValueError, match="fewer than two scales"):
        lasting([[[0, 1]]])


def test_hausdorff_distance():
    small, large = [[0.0], [1.0]], [[0.0], [1.0], [5.0]]
    assert hausdorff(small, large) == hausdorff(large, small) == 4


@pytest.mark.parametrize(
    "diagram", [np.zeros(3), np.zeros((2, 3)), [[2, 1]], [[np.nan, 1]], [[0, np.nan]], [[INF, INF]]]
)
def test_invalid_diagrams_are_refused(diagram):
    for function in (lengths, lambda d: bottleneck(d, np.zeros((0, 2))), lambda d: betti(d, 1.0)):
        with pytest.raises(ValueError, match="a diagram must|births must be"):
            function(diagram)
