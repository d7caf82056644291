import jax
import numpy as np
import pytest
from sklearn import datasets as sklearn_datasets

from panorax.core.errors import UserError
from panorax.data import datasets
from panorax.maths.inference.mixture import fit, k_means
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


def test_the_best_of_the_restarts_has_the_highest_likelihood():
    x, _ = datasets.iris()
    cfg = Config(steps=5, restarts=4)
    starts = jax.vmap(lambda key: k_means(key, x, 6))(jax.random.split(KEY, 4))
    fits = [fit(x, jax.nn.one_hot(start, 6), "full", 5, cfg.ridge) for start in starts]
    likelihoods = [float(bounds[-1, 1]) for _, bounds in fits]
    assert max(likelihoods) > min(likelihoods) + 1e-3
    best = best_of(KEY, x, 6, "full", cfg)
    assert float(best.bounds[-1, 1]) == pytest.approx(max(likelihoods), abs=1e-3)
