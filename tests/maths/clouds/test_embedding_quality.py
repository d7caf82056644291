import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.manifold import trustworthiness as theirs

from panorax.maths.clouds.embedding_quality import continuity, neighbor_recall, trustworthiness
from panorax.testing.tolerances import NUMBER

RNG = np.random.default_rng(1)
X = RNG.normal(size=(60, 6)).astype(np.float32)


@given(st.integers(0, 1000), st.sampled_from([1, 5, 12]))
def test_trustworthiness_matches_scikit_learn(seed, k):
    y = np.random.default_rng(seed).normal(size=(60, 2)).astype(np.float32) + X[:, :2]
    np.testing.assert_allclose(
        trustworthiness(jnp.asarray(X), jnp.asarray(y), k), theirs(X, y, n_neighbors=k), **NUMBER
    )
    np.testing.assert_allclose(
        continuity(jnp.asarray(X), jnp.asarray(y), k), theirs(y, X, n_neighbors=k), **NUMBER
    )


def test_a_similarity_transform_scores_1():
    for measure in (trustworthiness, continuity, neighbor_recall):
        assert float(measure(jnp.asarray(X), jnp.asarray(3 * X[:, ::-1] + 1), 7)) == 1


def test_recall_by_hand():
    line = np.array([[0.0], [1], [3], [7]], np.float32)
    # the first two points keep their neighbour, the last two do not
    moved = np.array([[0.0], [1], [7], [3]], np.float32)
    assert float(neighbor_recall(jnp.asarray(line), jnp.asarray(moved), 1)) == 0.5


@pytest.mark.parametrize("k", [0, 30])
def test_k_from_n_over_2_is_refused(k):
    with pytest.raises(ValueError, match="N / 2"):
        trustworthiness(jnp.asarray(X), jnp.asarray(X[:, :2]), k)
