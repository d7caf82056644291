import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from panorax.maths.clouds.dimension import (
    levina_bickel,
    local_pca,
    neighborhood_spectra,
    sphere,
    swiss_roll,
    two_nn,
)
from panorax.testing.tolerances import NUMBER

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)
DISTANCE = NearestNeighbors(n_neighbors=12).fit(X).kneighbors()[0]


def test_estimates_match_their_equations():
    mu = np.sort(DISTANCE[:, 1] / DISTANCE[:, 0])[:180]
    survival = -np.log(1 - np.arange(1, 181) / 200)
    slope = np.linalg.lstsq(np.log(mu)[:, None], survival, rcond=None)[0][0]
    assert two_nn(X) == pytest.approx(slope, rel=1e-3)
    inverse = [np.mean(np.log(t[11] / t[:11])) for t in DISTANCE]
    assert levina_bickel(X, 12) == pytest.approx(1 / np.mean(inverse), rel=1e-3)
    index = NearestNeighbors(n_neighbors=12).fit(X).kneighbors()[1]
    needed = [PCA(n_components=0.9, svd_solver="full").fit(X[i]).n_components_ for i in index]
    assert local_pca(X, 12, 0.9) == pytest.approx(np.mean(needed), abs=0.02)
    theirs = PCA().fit(X[index[0]]).explained_variance_ * 11 / 12
    np.testing.assert_allclose(neighborhood_spectra(jnp.asarray(X), 12)[0], theirs, **NUMBER)


@pytest.mark.parametrize("dimension", [1, 2, 4])
def test_a_rotated_sphere_has_its_dimension(dimension):
    frame = np.linalg.qr(np.random.default_rng(1).normal(size=(9, 9)))[0][: dimension + 1]
    x = np.asarray(sphere(KEY, 800, dimension)) @ frame * 7 + 100
    for estimate in (two_nn(x), levina_bickel(x, 10), local_pca(x, 12)):
        assert estimate == pytest.approx(dimension, rel=0.15)


def test_the_swiss_roll_is_a_uniform_sheet():
    x, t = swiss_roll(KEY, 800)
    np.testing.assert_allclose(jnp.hypot(x[:, 0], x[:, 2]), t / 10, **NUMBER)
    assert two_nn(x) == pytest.approx(2, abs=0.3)
    # by the squares of the radii, the inner turn has 6.75 of 18 parts of the arc length
    inner = float(jnp.mean((t < 3 * jnp.pi).astype(jnp.float32)))
    assert inner == pytest.approx(0.375, abs=0.05)


def test_noise_raises_the_dimension_at_small_scales_only():
    x, _ = swiss_roll(KEY, 800, 0.03)
    assert two_nn(x) > levina_bickel(x, 40) + 0.1


COPIES = np.concatenate([X, X[:3]])


@pytest.mark.parametrize("estimate", [two_nn, levina_bickel, local_pca])
@pytest.mark.parametrize(
    "x, message",
    [
        (X[:1], "points"),
        (X[:2], "points"),
        (np.where(X > 2, np.nan, X), "finite"),
        (X[0], "shape"),
        (np.ones((30, 2)), "same point"),
    ],
)
def test_invalid_clouds_are_refused(estimate, x, message):
    with pytest.raises(ValueError, match=message):
        estimate(x)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: two_nn(COPIES), "3 of the 203 points are copies"),
        (lambda: levina_bickel(COPIES), "copies"),
        (lambda: two_nn(X, kept=1.0), "kept"),
        (lambda: levina_bickel(X, 2), "k must be at least 3"),
        (lambda: levina_bickel(X, 200), "at least 201 points"),
        (lambda: local_pca(X, 20, 1.0), "share"),
        (lambda: local_pca(X, 1), "k at least 2"),
    ],
)
def test_copies_and_bad_settings_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_local_pca_accepts_copies():
    assert np.isfinite(local_pca(COPIES))
