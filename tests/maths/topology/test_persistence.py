import itertools

import chex
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.csgraph import minimum_spanning_tree

from panorax.maths.clouds import shapes
from panorax.maths.topology.diagrams import betti
from panorax.maths.topology.persistence import (
    diagrams,
    distances,
    enclosing_radius,
    filtration,
    neighbourhood_graph,
    spanning_forest,
)
from panorax.testing.tolerances import DOUBLE


def plain(distance, top, threshold=np.inf):
    """Standard reduction of the full boundary matrix (Edelsbrunner, Letscher & Zomorodian 2002)."""
    n = len(distance)
    value = lambda s: max((distance[i, j] for i, j in itertools.combinations(s, 2)), default=0.0)
    simplices = [
        s
        for k in range(1, top + 3)
        for s in itertools.combinations(range(n), k)
        if value(s) <= threshold and value(s) < np.inf
    ]
    simplices.sort(key=lambda s: (value(s), len(s), s))
    index = {s: i for i, s in enumerate(simplices)}
    low, bars = {}, {}
    for i, simplex in enumerate(simplices):
        column = (
            {index[face] for face in itertools.combinations(simplex, len(simplex) - 1)}
            if len(simplex) > 1
            else set()
        )
        while column and max(column) in low:
            column ^= low[max(column)]
        bars[i] = np.inf
        if column:
            low[max(column)] = column
            bars[max(column)], bars[i] = value(simplex), None
    pairs = [[] for _ in range(top + 1)]
    for i, death in bars.items():
        if death is not None and len(simplices[i]) <= top + 1 and death > value(simplices[i]):
            pairs[len(simplices[i]) - 1].append((value(simplices[i]), death))
    return [np.array(sorted(bars)).reshape(-1, 2) for bars in pairs]


def symmetric(rng, n, values):
    upper = np.triu(rng.choice(values, (n, n)), 1)
    return upper + upper.T


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 8),
    st.sampled_from(["cloud", "grid", "any", "ties", "gaps", "cut"]),
)
def test_diagrams_match_the_plain_reduction(seed, n, kind):
    rng, threshold = np.random.default_rng(seed), None
    if kind in ("cloud", "cut"):
        distance = distances(rng.normal(size=(n, 3)))
        threshold = float(np.median(distance)) if kind == "cut" else None
    elif kind == "grid":  # equal points and equal distances
        distance = distances(rng.integers(0, 2, (n, 3)))
    else:  # no metric at all, with long bars in H2
        values = {
            "any": rng.uniform(size=200),
            "ties": [1.0, 2.0, 3.0],
            "gaps": [1.0, 2.0, 3.0, np.inf],
        }[kind]
        distance = symmetric(rng, n, values)
    chex.assert_trees_all_equal(
        diagrams(distance, 2, threshold),
        plain(distance, 2, np.inf if threshold is None else threshold),
    )


@pytest.mark.parametrize("n", [18, 22])
def test_h2_without_a_metric_matches_the_plain_reduction(n):
    distance = symmetric(np.random.default_rng(n), n, np.random.default_rng(5).uniform(size=500))
    ours = diagrams(distance, 2)
    assert len(ours[2]) > 2
    chex.assert_trees_all_equal(ours, plain(distance, 2))


@pytest.mark.parametrize("n", [6, 9, 12, 30])
def test_the_regular_circle_has_its_known_diagrams(n):
    components, loops, hollows = (
        d[d[:, 1] - d[:, 0] > 1e-9] for d in diagrams(distances(shapes.regular_circle(n)), 2)
    )
    side = 2 * np.sin(np.pi / n)
    np.testing.assert_allclose(components, [[0, side]] * (n - 1) + [[0, np.inf]], **DOUBLE)
    np.testing.assert_allclose(loops, [[side, 3**0.5]], **DOUBLE)
    np.testing.assert_allclose(
        hollows, [[3**0.5, 2 * np.sin(np.pi * (n // 3 + 1) / n)]] * (n // 3 - 1), **DOUBLE
    )


def test_a_square_and_an_octahedron():
    square = distances([[0, 0], [1, 0], [1, 1], [0, 1]])
    np.testing.assert_allclose(diagrams(square)[1], [[1, 2**0.5]])
    octahedron = distances(np.concatenate([np.eye(3), -np.eye(3)]))
    _, loops, hollows = diagrams(octahedron, 2)
    assert len(loops) == 0
    np.testing.assert_allclose(hollows, [[2**0.5, 2]])


def test_components_die_along_the_minimum_spanning_tree():
    distance = distances(np.random.default_rng(0).normal(size=(80, 3)))
    tree = np.sort(minimum_spanning_tree(distance).data)
    np.testing.assert_allclose(diagrams(distance, 0)[0][:-1, 1], tree)
    edges = filtration(distance, np.inf)
    np.testing.assert_allclose(edges.length[spanning_forest(edges)], tree)
    assert set(spanning_forest(edges)) <= set(neighbourhood_graph(edges))


def test_relative_neighbours_have_no_third_point_nearer_to_both():
    distance = distances(np.random.default_rng(1).normal(size=(60, 2)))
    edges = filtration(distance, np.inf)
    to_others = np.where(np.eye(60, dtype=bool), np.inf, distance)
    closer = np.maximum(to_others[:, None], to_others[None]).min(-1)
    expected = {
        (i, j) for i, j in itertools.combinations(range(60), 2) if not closer[i, j] < distance[i, j]
    }
    assert {tuple(e) for e in edges.ends[:, neighbourhood_graph(edges)].T} == expected


def test_the_enclosing_radius_ends_all_homology():
    distance = distances(np.random.default_rng(2).normal(size=(30, 3)))
    assert enclosing_radius(distance) < distance.max()
    chex.assert_trees_all_equal(diagrams(distance, 2), diagrams(distance, 2, np.inf))
    assert all(np.isfinite(d).all() for d in diagrams(distance, 2)[1:])


@given(st.integers(0, 2**32 - 1))
def test_order_of_points_and_scale_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(25, 3))
    shuffled = diagrams(4 * distances(x[rng.permutation(25)]), 2)
    for ours, theirs in zip(diagrams(distances(x), 2), shuffled, strict=True):
        np.testing.assert_allclose(4 * ours, theirs, **DOUBLE)


def test_the_euler_characteristic_is_the_alternating_sum_of_betti_numbers():
    """Counts all simplices at a scale at which none has more than four vertices."""
    distance = distances(np.random.default_rng(3).uniform(size=(40, 3)))
    scale = 0.24
    near = distance <= scale
    cliques = [
        sum(near[np.ix_(c, c)].all() for c in itertools.combinations(range(40), k))
        for k in (1, 2, 3)
    ]
    four = [
        c
        for c in itertools.combinations(range(40), 4)
        if near[c[0], c[1]] and near[np.ix_(c, c)].all()
    ]
    assert not any(
        near[np.ix_((*c, i), (*c, i))].all() for c in four for i in range(40) if i not in c
    )
    numbers = [betti(d, scale) for d in diagrams(distance, 2)]
    assert numbers[0] - numbers[1] + numbers[2] == cliques[0] - cliques[1] + cliques[2] - len(four)


def test_equal_points_have_one_component_and_no_bar_of_length_0():
    for x in (np.zeros((1, 2)), np.ones((5, 2))):
        components, loops, hollows = diagrams(distances(x), 2)
        assert components.tolist() == [[0, np.inf]] and loops.shape == hollows.shape == (0, 2)
    twice = np.repeat(shapes.regular_circle(6), 2, axis=0)
    np.testing.assert_allclose(diagrams(distances(twice))[1], diagrams(distances(twice[::2]))[1])


def test_points_at_infinite_distance_stay_separate_components():
    distance = np.array([[0, 1, np.inf], [1, 0, np.inf], [np.inf, np.inf, 0]])
    assert diagrams(distance)[0].tolist() == [[0, 1], [0, np.inf], [0, np.inf]]
    assert len(diagrams(distance, 1, 0.5)[0]) == 3


@pytest.mark.parametrize(
    "distance, message",
    [
        (np.zeros((0, 0)), "at least one point"),
        (np.zeros((2, 3)), "square matrix"),
        (np.zeros(4), "square matrix"),
        ([[0, np.nan], [np.nan, 0]], "numbers >= 0"),
        ([[0, -1], [-1, 0]], "numbers >= 0"),
        ([[1, 2], [2, 1]], "0 on the diagonal"),
        ([[0, 1], [2, 0]], "symmetric"),
    ],
)
def test_invalid_distance_matrices_are_refused(distance, message):
    with pytest.raises(ValueError, match=message):
        diagrams(distance)


def test_other_bad_input_is_refused():
    with pytest.raises(ValueError, match="top must be 0, 1 or 2, got 3"):
        diagrams(np.zeros((1, 1)), 3)
    with pytest.raises(ValueError, match="threshold must be a number"):
        diagrams(np.zeros((2, 2)), 1, np.nan)
    for x, message in (
        ([[np.nan, 0]], "finite"),
        (np.zeros((0, 2)), "N and D at least 1"),
        (np.zeros(3), "N and D at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            distances(x)
