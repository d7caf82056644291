import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import squareform
from sklearn.manifold import _t_sne
from sklearn.manifold import trustworthiness as sklearn_trustworthiness

from panorax.maths.clouds.neighbors import nearest
from panorax.maths.clouds.tsne import (
    conditional_affinities,
    descend_kl,
    joint_affinities,
    kl_divergence,
    kl_gradient,
    principal_components,
    tsne,
)
from panorax.testing.tolerances import LAYER, NUMBER

RNG = np.random.default_rng(2)
X = RNG.normal(size=(50, 4)).astype(np.float32) * np.array([3, 2, 1, 0.5], np.float32) + 1
Y = RNG.normal(size=(50, 2)).astype(np.float32)
D2, INDEX = nearest(jnp.asarray(X), 49)
P = joint_affinities(conditional_affinities(D2, 8.0), INDEX)


def test_affinities_match_scikit_learn():
    d2 = np.sum((X[:, None] - X[None]) ** 2, -1)
    np.testing.assert_allclose(P, squareform(_t_sne._joint_probabilities(d2, 8.0, 0)), **NUMBER)


@given(st.floats(1, 40), st.floats(1e-3, 1e3))
def test_affinities_have_the_perplexity_in_any_unit(perplexity, unit):
    p = np.asarray(conditional_affinities(unit * D2, perplexity), np.float64)
    entropy = -np.sum(np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0), 1)
    np.testing.assert_allclose(np.exp(entropy), perplexity, **LAYER)


def test_loss_and_gradient_match_scikit_learn_and_jax():
    value, slope = _t_sne._kl_divergence(
        Y.ravel(), squareform(np.asarray(P), checks=False).astype(np.float64), 1, 50, 2
    )
    np.testing.assert_allclose(kl_divergence(jnp.asarray(Y), P), value, **NUMBER)
    np.testing.assert_allclose(kl_gradient(jnp.asarray(Y), P), slope.reshape(50, 2), **NUMBER)
    np.testing.assert_allclose(
        kl_gradient(jnp.asarray(Y), P),
        jax.grad(kl_divergence)(jnp.asarray(Y), P),
        **NUMBER,
    )


def test_the_first_steps_match_scikit_learn():
    start, p = 1e-4 * Y.astype(np.float64), 12 * np.asarray(P, np.float64)
    objective = lambda y, p, compute_error: _t_sne._kl_divergence(
        y, squareform(p, checks=False), 1, 50, 2
    )
    theirs, *_ = _t_sne._gradient_descent(
        objective, start.ravel(), 0, 20, momentum=0.5, learning_rate=50.0, args=(p,)
    )
    theirs = theirs.reshape(50, 2)
    with jax.enable_x64(True):
        ours = descend_kl(jnp.asarray(start), jnp.asarray(p / 12), 20, 20)
    np.testing.assert_allclose(
        ours, theirs - theirs.mean(0)[None], atol=LAYER["rtol"] * np.abs(theirs).max()
    )


def test_clusters_are_preserved():
    centres = np.eye(3, 10) * 20
    x = (centres[np.arange(60) % 3] + RNG.normal(size=(60, 10))).astype(np.float32)
    y = np.asarray(tsne(x, perplexity=10.0, steps=300, exaggerated=100))
    label = np.arange(60) % 3
    assert np.array_equal(label[np.asarray(nearest(jnp.asarray(y), 1)[1])[:, 0]], label)
    assert sklearn_trustworthiness(x, y, n_neighbors=5) > 0.85
    np.testing.assert_allclose(y.mean(0), 0, **LAYER)


def test_copies_of_points_are_embedded():
    x = np.repeat(X[:5], 8, axis=0)
    assert np.isfinite(tsne(x, perplexity=5.0, steps=50, exaggerated=10)).all()


def test_principal_components_match_numpy():
    u, s, _ = np.linalg.svd(X - X.mean(0)[None], full_matrices=False)
    components = np.asarray(principal_components(jnp.asarray(X)))
    np.testing.assert_allclose(np.abs(components), np.abs(u[:, :2] * s[None, :2]), **LAYER)


@pytest.mark.parametrize(
    "x, perplexity, message",
    [
        (X, 50.0, "perplexity must lie between 1"),
        (X, 0.5, "perplexity must lie between 1"),
        (X, float("nan"), "perplexity must lie between 1"),
        (X[:, :1], 5.0, "line"),
        (X[:3], 2.0, "at least 4 points"),
        (np.where(X > 3, np.nan, X), 5.0, "finite"),
        (np.ones_like(X), 5.0, "same point"),
    ],
)
def test_invalid_clouds_and_perplexities_are_refused(x, perplexity, message):
    with pytest.raises(ValueError, match=message):
        tsne(x, perplexity)


def test_a_perplexity_above_the_number_of_neighbours_is_refused():
    with pytest.raises(ValueError, match="number of neighbours, 49"):
        conditional_affinities(D2, 60.0)
