import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.maths.clouds.neighbors import nearest
from panorax.maths.clouds.umap import (
    attraction,
    curve,
    draw_apart,
    fuzzy_graph,
    memberships,
    padded_rows,
    repulsion,
    spectral_start,
    umap,
)
from panorax.testing.tolerances import LAYER, NUMBER

GRID = {"atol": 2e-3}
"""shares of a grid of 1,000 quantiles"""

RNG = np.random.default_rng(3)
X = RNG.normal(size=(60, 5)).astype(np.float32)
GRAPH = fuzzy_graph(jnp.asarray(X), 8)
KEY = jax.random.key(0)
A, B = curve(0.1)


def test_memberships_sum_to_log2_k_and_the_nearest_has_1():
    distance = jnp.sqrt(nearest(jnp.asarray(X), 7)[0])
    v = np.asarray(memberships(distance))
    np.testing.assert_allclose(v.sum(1), 3, **NUMBER)
    np.testing.assert_array_equal(v[:, 0], 1)
    np.testing.assert_allclose(memberships(5 * distance), v, **LAYER)
    assert np.isfinite(memberships(jnp.concatenate([jnp.zeros((60, 3)), distance[:, 3:]], 1))).all()


def test_forces_are_the_gradients_of_the_loss():
    w = lambda d2: 1 / (1 + A * d2**B)
    along = lambda loss, y: jax.grad(lambda y: loss(jnp.sum(y**2)))(y)
    for y in jnp.asarray([[0.3, -0.4], [2.0, 1.0], [0.02, 0.01]]):
        d2 = jnp.sum(y**2)
        np.testing.assert_allclose(
            attraction(d2, A, B) * y, -along(lambda d2: -jnp.log(w(d2)), y), **NUMBER
        )
    for y in jnp.asarray([[0.9, -0.7], [2.0, 1.0]]):
        d2 = jnp.sum(y**2)
        np.testing.assert_allclose(
            repulsion(d2, A, B) * y * (1e-3 + d2) / d2,
            -along(lambda d2: -jnp.log1p(-w(d2)), y),
            **NUMBER,
        )
    assert attraction(jnp.zeros(()), A, B) == 0 and repulsion(jnp.zeros(()), A, B) > 0


def test_the_spectral_start_is_the_second_and_third_eigenvector():
    v = GRAPH.toarray()
    root = np.sqrt(v.sum(1))
    values, vectors = np.linalg.eigh(v / root[:, None] / root[None])
    start = np.asarray(spectral_start(GRAPH, KEY), np.float64)
    assert values[-1] == pytest.approx(1, abs=1e-5)
    assert np.abs(start).max() == pytest.approx(10, abs=1e-3)
    unit = start / np.linalg.norm(start, axis=0)[None]
    np.testing.assert_allclose(np.abs(np.sum(unit * vectors[:, [-2, -3]], 0)), 1, **NUMBER)


def test_padded_rows_represent_the_graph():
    tail, share, degree = (np.asarray(a) for a in padded_rows(GRAPH))
    count = np.diff(GRAPH.indptr)
    assert all(row[n - 1] == 1 for row, n in zip(share, count, strict=True))
    assert (np.diff(share, axis=1) >= 0).all()
    np.testing.assert_allclose(degree, GRAPH.toarray().sum(1), **NUMBER)
    u = np.linspace(0.0005, 0.9995, 1000)
    drawn = np.zeros(GRAPH.shape)
    for i in range(60):
        np.add.at(drawn[i], tail[i][np.sum(u[:, None] >= share[i][None], 1)], 1 / 1000)
    np.testing.assert_allclose(drawn, GRAPH.toarray() / degree[:, None], **GRID)


def test_the_expected_step_is_the_gradient_of_the_loss():
    y = jnp.asarray(RNG.normal(size=(60, 2)) * 3, jnp.float32)
    rows = padded_rows(GRAPH)
    moved = jax.jit(jax.vmap(lambda key: draw_apart(y, *rows, (A, B), key, 1)))(
        jax.random.split(KEY, 4000)
    )
    v = GRAPH.toarray()
    difference = np.asarray(y)[:, None] - np.asarray(y)[None]
    d2 = jnp.asarray(np.sum(difference**2, -1))
    clip = lambda f: np.clip(np.asarray(f)[..., None] * difference, -4, 4)
    degree = v.sum(1)
    pull = 2 * np.einsum("ij,ijd->id", v / degree[:, None], clip(attraction(d2, A, B)))
    push = 5 * np.sum(clip(repulsion(d2, A, B)), 1) / 59
    expected = (degree / degree.max())[:, None] * (pull + push)
    error = np.asarray(jnp.std(moved, 0)) / 4000**0.5
    assert np.max(np.abs(np.mean(moved, 0) - np.asarray(y) - expected) / (error + 1e-4)) < 5


def test_clusters_are_preserved():
    label = np.arange(90) % 3
    x = (np.eye(3, 10)[label] * 20 + RNG.normal(size=(90, 10))).astype(np.float32)
    y = umap(x, KEY, neighbors=8, epochs=50)
    assert np.array_equal(label[np.asarray(nearest(y, 1)[1])[:, 0]], label)
    np.testing.assert_array_equal(y, umap(x, KEY, neighbors=8, epochs=50))


def test_copies_and_n_neighbours_are_embedded():
    x = np.repeat(X[:4], 5, axis=0)
    assert np.isfinite(umap(x, KEY, neighbors=4, epochs=5)).all()
    assert np.isfinite(umap(X[:6], KEY, neighbors=6, epochs=5)).all()


@pytest.mark.parametrize(
    "x, settings, message",
    [
        (X, {"neighbors": 1}, "neighbors must lie between 2"),
        (X, {"neighbors": 61}, "neighbors must lie between 2"),
        (X, {"min_dist": -0.1}, "min_dist"),
        (X[:3], {}, "at least 4 points"),
        (np.where(X > 1, np.nan, X), {}, "finite"),
        (np.ones_like(X), {}, "same point"),
    ],
)
def test_invalid_clouds_and_settings_are_refused(x, settings, message):
    with pytest.raises(ValueError, match=message):
        umap(x, KEY, **settings)
