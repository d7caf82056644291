import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.linalg import LinearOperator, eigsh
from scipy.stats import norm

from panorax.maths import lanczos
from panorax.testing.tolerances import DOUBLE, LAYER, NUMBER

NOISE = {"atol": 0.02}
"""sampling error of a distribution function from 400 probes"""
DIFFERENCES = {"atol": 0.01}
"""error of finite differences on a grid of 300 points"""

N, K = 40, 12
RNG = np.random.default_rng(0)
FRAME = np.linalg.qr(RNG.normal(size=(N, N)))[0]
KEY = jax.random.key(0)


def matrix(eigenvalues):
    return jnp.asarray(FRAME * np.asarray(eigenvalues) @ FRAME.T)


def times(a):
    return lambda v: a @ v


RUN = jax.jit(lambda a, start: lanczos.lanczos(times(a), start, K))
ALL = jax.jit(lambda a, start: lanczos.lanczos(times(a), start, N))
TOP = jax.jit(lambda a, key: lanczos.top_eigenpairs(times(a), a[0], 4, 24, key))
QUADRATURE = jax.jit(lambda a, key: lanczos.quadrature(times(a), a[0], K, 5, key, together=2))
SPECTRUM = np.concatenate([np.linspace(-1, 1, N - 3), [3.0, 5.0, 9.0]])


@given(st.integers(0, 2**32 - 1))
def test_the_basis_is_orthonormal_and_makes_the_matrix_tridiagonal(seed):
    with jax.enable_x64(True):
        rng = np.random.default_rng(seed)
        a = matrix(rng.normal(size=N))
        run = RUN(a, jnp.asarray(rng.normal(size=N)))
        v, diagonal, off = (np.asarray(part) for part in (run.basis, run.diagonal, run.off))
        t = np.diag(diagonal) + np.diag(off[:-1], -1) + np.diag(off[:-1], 1)
        np.testing.assert_allclose(v @ v.T, np.eye(K), **DOUBLE)
        np.testing.assert_allclose(v @ np.asarray(a) @ v.T, t, **DOUBLE)
        residual = np.asarray(a) @ v.T - v.T @ t
        assert np.abs(residual[:, :-1]).max() < 1e-11
        assert np.linalg.norm(residual[:, -1]) == pytest.approx(off[-1], rel=1e-9)


def test_a_basis_of_many_steps_stays_orthonormal_in_float32():
    basis = ALL(matrix(np.geomspace(1e-6, 1e3, N)).astype(jnp.float32), jnp.ones(N)).basis
    np.testing.assert_allclose(basis @ basis.T, np.eye(N), **LAYER)


def test_top_eigenpairs_match_scipy_and_their_bounds_hold():
    with jax.enable_x64(True):
        a = matrix(SPECTRUM)
        values, vectors, bounds = TOP(a, KEY)
        theirs = eigsh(LinearOperator((N, N), lambda v: np.asarray(a) @ v), 4, which="LA")[0][::-1]
        np.testing.assert_allclose(values[:3], theirs[:3], **DOUBLE)
        assert (
            np.abs(SPECTRUM[None] - np.asarray(values)[:, None]).min(1)
            <= np.asarray(bounds) + 1e-12
        ).all()
        np.testing.assert_allclose(np.asarray(a) @ vectors[0], 9 * vectors[0], **DOUBLE)
        np.testing.assert_allclose(
            np.linalg.norm(np.asarray(a) @ vectors[3] - values[3] * vectors[3]),
            bounds[3],
            **DOUBLE,
        )
        assert float(bounds[3]) > 1e-6


@pytest.mark.parametrize(
    "eigenvalues",
    [
        np.ones(N),
        np.zeros(N),
        np.repeat([0.0, -2.0, 7.0], [N - 5, 2, 3]),
        SPECTRUM,
        np.linspace(-3, 2, N),
    ],
    ids=range(5),
)
def test_n_steps_give_all_n_eigenvalues_repeated_ones_included(eigenvalues):
    with jax.enable_x64(True):
        run = ALL(matrix(eigenvalues), jnp.asarray(RNG.normal(size=N)))
        np.testing.assert_allclose(lanczos.ritz(run)[0], np.sort(eigenvalues), **DOUBLE)
        distinct = len(np.unique(eigenvalues))
        assert distinct == N or float(run.off[distinct - 1]) == 0


def test_the_quadrature_is_exact_after_an_invariant_subspace():
    with jax.enable_x64(True):
        low_rank = np.concatenate([np.zeros(N - 2), [1.0, 4.0]])
        spectrum = QUADRATURE(matrix(low_rank), KEY)
        np.testing.assert_allclose(np.sum(spectrum.weights, 1), 1, **DOUBLE)
        assert set(
            np.round(np.asarray(spectrum.nodes)[np.asarray(spectrum.weights) > 1e-12], 9)
        ) == {
            0.0,
            1.0,
            4.0,
        }
        start = jnp.zeros(N).at[0].set(1.0)
        run = RUN(jnp.diag(jnp.arange(1.0, N + 1)), start)
        assert (
            np.isfinite(run.basis).all() and float(run.off[0]) == 0 and float(run.diagonal[0]) == 1
        )


def test_the_quadrature_has_the_moments_of_each_probe():
    with jax.enable_x64(True):
        a, keys = matrix(SPECTRUM), jax.random.split(KEY, 5)
        spectrum = QUADRATURE(a, KEY)
        for key, nodes, weights in zip(
            keys, np.asarray(spectrum.nodes), np.asarray(spectrum.weights), strict=True
        ):
            v = np.asarray(lanczos.probe(key, a[0])) / N**0.5
            for power in range(2 * K):
                assert weights @ nodes**power == pytest.approx(
                    v @ np.linalg.matrix_power(np.asarray(a), power) @ v, rel=1e-8, abs=1e-8
                )
        traces = np.asarray(lanczos.hutchinson(times(a), a[0], 5, KEY))
        assert traces.mean() == pytest.approx(
            N * lanczos.integral(spectrum, lambda t: t), rel=1e-10
        )


@pytest.mark.parametrize(
    "kind, square",
    [
        ("rademacher", lambda a: (a**2).sum() - (np.diag(a) ** 2).sum()),
        ("gaussian", lambda a: (a**2).sum()),
    ],
)
def test_hutchinson_estimates_have_their_mean_and_variance(kind, square):
    a = np.asarray(matrix(SPECTRUM), np.float32)
    traces = np.asarray(
        jax.jit(lambda key: lanczos.hutchinson(times(jnp.asarray(a)), a[0], 4000, key, kind))(KEY)
    )
    assert abs(traces.mean() - np.trace(a)) < 4 * traces.std() / len(traces) ** 0.5
    assert traces.var() == pytest.approx(2 * square(a), rel=0.15)
    v = np.asarray(lanczos.probe(KEY, jnp.zeros(10_000), kind))
    assert (
        abs(v.mean()) < 0.04
        and v.std() == pytest.approx(1, abs=0.04)
        and (set(np.unique(v)) == {-1, 1}) == (kind == "rademacher")
    )


def test_the_mean_over_probes_is_the_spectral_density():
    many = jax.jit(lambda a: lanczos.quadrature(times(a), a[0], K, 400, KEY, together=50))(
        matrix(SPECTRUM).astype(jnp.float32)
    )
    grid = np.linspace(-3, 11, 300)
    exact = norm.cdf((grid[:, None] - SPECTRUM[None]) / 0.3).mean(1)
    np.testing.assert_allclose(
        lanczos.distribution(lanczos.exactly(SPECTRUM), grid, 0.3), exact, **NUMBER
    )
    np.testing.assert_allclose(lanczos.distribution(many, grid, 0.3), exact, **NOISE)
    np.testing.assert_allclose(
        lanczos.density(many, grid, 0.3),
        np.gradient(lanczos.distribution(many, grid, 0.3), grid),
        **DIFFERENCES,
    )
    assert np.trapezoid(lanczos.density(many, grid, 0.3), grid) == pytest.approx(1, abs=1e-3)


def test_trees_give_the_eigenpairs_of_vectors():
    a = matrix(SPECTRUM).astype(jnp.float32)
    tree = {"u": jnp.zeros((2, 10)), "w": [jnp.zeros(20)]}
    flat, back = jax.flatten_util.ravel_pytree(tree)
    product = lambda v: back(a @ jax.flatten_util.ravel_pytree(v)[0])
    values, vectors, _ = jax.jit(lambda key: lanczos.top_eigenpairs(product, tree, 2, 24, key))(KEY)
    np.testing.assert_allclose(values, [9, 5], **NUMBER)
    assert vectors["u"].shape == (2, 2, 10) and vectors["w"][0].shape == (2, 20)
    one = jax.tree.map(lambda x: x[0], vectors)
    np.testing.assert_allclose(
        jax.flatten_util.ravel_pytree(product(one))[0],
        9 * jax.flatten_util.ravel_pytree(one)[0],
        **LAYER,
    )


def test_a_matrix_of_size_1():
    spectrum = lanczos.quadrature(lambda v: -3 * v, jnp.zeros(1), 1, 2, KEY)
    np.testing.assert_allclose(spectrum.nodes, [[-3], [-3]])
    np.testing.assert_allclose(spectrum.weights, 1)


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda p, x: lanczos.lanczos(p, x, N + 1),
            "steps must lie between 1 and the dimension 40, got 41",
        ),
        (lambda p, x: lanczos.lanczos(p, x, 0), "the dimension 40, got 0"),
        (lambda p, x: lanczos.lanczos(p, 0 * x, 3), "finite and not zero"),
        (lambda p, x: lanczos.lanczos(p, x.at[3].set(jnp.nan), 3), "finite and not zero"),
        (
            lambda p, x: lanczos.top_eigenpairs(p, x, 5, 4, KEY),
            "k must lie between 1 and the 4 steps, got 5",
        ),
        (lambda p, x: lanczos.top_eigenpairs(p, x, 0, 4, KEY), "the 4 steps, got 0"),
        (lambda p, x: lanczos.quadrature(p, x, 3, 0, KEY), "probes must be at least 1"),
        (lambda p, x: lanczos.quadrature(p, x, N + 1, 2, KEY), "the dimension 40, got 41"),
        (lambda p, x: lanczos.hutchinson(p, x, 0, KEY), "probes must be at least 1"),
        (lambda p, x: lanczos.probe(KEY, x, "uniform"), "rademacher or gaussian, not 'uniform'"),
        (
            lambda p, x: lanczos.density(lanczos.exactly(np.ones(3)), np.zeros(2), 0.0),
            "width must be above 0",
        ),
        (
            lambda p, x: lanczos.distribution(lanczos.exactly(np.ones(3)), np.zeros(2), np.nan),
            "width must be above 0",
        ),
        (
            lambda p, x: lanczos.integral(
                lanczos.quadrature(lambda v: v * jnp.nan, x, 3, 1, KEY), np.abs
            ),
            "not finite",
        ),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(times(jnp.eye(N)), jnp.ones(N))
