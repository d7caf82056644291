import jax
import numpy as np
import pytest

from panorax.data.datasets import digit_vectors
from panorax.maths.topology.persistence import distances
from panorax.theory.topology.homology import class_diagrams, digits, stability, within_a_class

KEY = jax.random.key(0)


def test_digits_of_300_pictures():
    metrics = digits(KEY, 300).metrics
    assert 0.8 < metrics["digits_tree_within_a_class"] < 1
    assert metrics["digits_mean_components_where_classes_touch"] > 1


def test_each_digit_is_in_one_class_and_each_class_has_one_endless_component():
    pictures, label = (part[:300] for part in digit_vectors()[:2])
    components = [each[0] for each in class_diagrams(distances(pictures), label)]
    assert sum(map(len, components)) == 300
    assert all(np.isinf(bars[:, 1]).sum() == 1 for bars in components)


def test_spanning_tree_edges_within_a_class():
    apart = np.abs(np.subtract.outer([0.0, 1, 3, 4], [0.0, 1, 3, 4]))
    assert within_a_class(apart, np.array([0, 0, 1, 1])) == pytest.approx(2 / 3)


def test_distances_of_diagrams_are_within_the_bound_but_not_zero():
    shares = stability(KEY, clouds=2).metrics
    assert all(0.05 < share <= 1 for share in shares.values())
