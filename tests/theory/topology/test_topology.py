import numpy as np
import pytest

from panorax.core.errors import UserError
from panorax.theory.topology.study import Config, digit_classes, stability


def test_the_tree_of_the_digits_and_the_diagrams_of_their_classes():
    metrics, classes = digit_classes(300)
    assert 0.8 < metrics["digits_tree_within_a_class"] < 1
    assert sum(len(found[0]) for found in classes) == 300
    assert all(np.isinf(found[0][:, 1]).sum() == 1 for found in classes)
    assert metrics["digits_mean_components_where_classes_touch"] > 1


def test_stability_measures_something():
    shares = stability(Config(displaced=2), np.random.default_rng(0))
    assert all(0.05 < share <= 1 for share in shares.values())


@pytest.mark.parametrize(
    "field, says",
    [
        ({"circle": 10}, "multiple of 3"),
        ({"sphere": 9}, "at least 10 points"),
        ({"ring": 10}, "a ring more than 10"),
        ({"bits": 5}, "bits must be at most 4"),
        ({"few": 17}, "few at most 16"),
        ({"dimensions": ()}, "one dimension given"),
        ({"digits": 20}, "at least 50"),
    ],
)
def test_bad_settings_are_refused(field, says):
    with pytest.raises(UserError, match=says):
        Config(**field)
