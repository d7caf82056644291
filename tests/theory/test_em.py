import jax
import numpy as np
import pytest
from sklearn import datasets as sklearn_datasets

from panorax.core.errors import UserError
from panorax.data import datasets
from panorax.theory.em import Config, best_of, matched

KEY = jax.random.key(0)


def test_full_covariances_find_the_species_of_iris():
    x, species = datasets.iris()
    np.testing.assert_array_equal(x, sklearn_datasets.load_iris().data.astype(np.float32))
    assert best_of(KEY, x, 3, "full", Config(steps=60, restarts=4)).matched(x, species) > 0.95


def test_matched_pairs_components_with_classes():
    assert matched(np.array([1, 1, 0, 2]), np.array([0, 0, 1, 1])) == 0.75


def test_bad_input_is_refused():
    with pytest.raises(UserError, match="must be finite"):
        best_of(KEY, np.full((4, 2), np.nan, np.float32), 2, "full", Config())
    with pytest.raises(UserError, match="directions at most 60"):
        Config(directions=61)
