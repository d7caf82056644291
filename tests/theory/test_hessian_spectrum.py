import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.maths.optimisation.curvature import to_vectors
from panorax.nets import mlp
from panorax.theory import hessian_spectrum as hs

X = jnp.asarray(np.random.default_rng(0).normal(size=(30, 64)), jnp.float32)
LABEL = jnp.asarray(np.arange(30) % 10)
CFG = hs.Config(hidden=(2,), small=(2,), lanczos=60, probes=20, small_probes=30, largest=11)
PARAMS = core_spec.init(hs.network((2,)), jax.random.key(0))


def test_the_spectrum_of_a_network_is_that_of_its_hessian():
    f, vector, back = to_vectors(
        lambda params: jnp.mean(hs.cross_entropy(mlp.perceptron(params, X), LABEL)), PARAMS
    )
    hessian = jax.jit(jax.hessian(f))(vector)
    jacobian = np.asarray(jax.jit(jax.jacfwd(lambda v: mlp.perceptron(back(v), X)))(vector))
    p = np.asarray(jax.nn.softmax(mlp.perceptron(PARAMS, X), 1))
    g = sum(
        j.T @ (np.diag(q) - np.outer(q, q)) @ j for j, q in zip(jacobian, p, strict=True)
    ) / len(X)
    found = jax.jit(lambda params: hs.spectrum(params, X, LABEL, jax.random.key(1), CFG))(PARAMS)
    (values, vectors), (g_values, g_vectors) = np.linalg.eigh(hessian), np.linalg.eigh(g)
    np.testing.assert_allclose(found.hessian, values[::-1][:11], rtol=1e-3)
    np.testing.assert_allclose(found.gauss_newton, g_values[::-1][:11], rtol=1e-3)
    overlap = hs.subspace_overlap(vectors[:, ::-1][:, :9].T, g_vectors[:, ::-1][:, :9].T)
    assert (
        float(found.overlap) == pytest.approx(float(overlap), abs=1e-3) and float(overlap) < 0.999
    )
    told = hs.described(found)
    assert told["negative_share"] == pytest.approx(
        -values[values < 0].sum() / np.abs(values).sum(), abs=0.06
    )
    assert told["near_zero"] == pytest.approx(np.mean(np.abs(values) < 0.01 * values[-1]), abs=0.08)
    assert told["smallest"] == pytest.approx(values[0], rel=1e-2) and told[
        "largest"
    ] == pytest.approx(values[-1], rel=1e-4)


def test_a_small_network_is_compared_with_all_its_eigenvalues():
    metrics, exact, found = hs.beside_exact(PARAMS, X, LABEL, jax.random.key(2), CFG)
    with jax.enable_x64(True):
        f, vector, _ = to_vectors(
            lambda params: jnp.mean(
                hs.cross_entropy(mlp.perceptron(params, X.astype(float)), LABEL)
            ),
            jax.tree.map(lambda a: a.astype(float), PARAMS),
        )
        np.testing.assert_allclose(
            exact, np.linalg.eigvalsh(jax.jit(jax.hessian(f))(vector)), atol=1e-12
        )
    assert metrics["small_all_error"] < 1e-12 and metrics["small_top_error"] < 1e-6
    assert (
        metrics["small_kolmogorov"] < 0.05
        and metrics["small_wasserstein"] < 0.02
        and metrics["small_trace_z"] < 4
    )
    assert found.nodes.shape == (30, 60)


def test_training_is_stochastic_descent_with_momentum():
    rows = jnp.array([[0, 1, 2], [3, 4, 5]])
    after = hs.trained(PARAMS, X, LABEL, rows, 0.1)
    f = lambda params, rows: jnp.mean(
        hs.cross_entropy(mlp.perceptron(params, X[rows]), LABEL[rows])
    )
    g = ravel_pytree(jax.grad(f)(PARAMS, rows[0]))[0]
    x, back = ravel_pytree(PARAMS)
    x = x - 0.1 * g
    x = x - 0.1 * (0.9 * g + ravel_pytree(jax.grad(f)(back(x), rows[1]))[0])
    np.testing.assert_allclose(ravel_pytree(after)[0], x, atol=1e-6)


def test_outliers_end_where_the_ratio_is_largest():
    assert hs.outliers(np.array([100.0, 9, 8, 7, 1, 0.9, 0.8])) == 4
    assert hs.outliers(np.array([9.0, 8, 7, 1, 0.5, 0.1, 0.001, -1]), most=5) == 3
    assert hs.outliers(np.array([9.0, 8, 7, 1, 0.5, 0.1, 0.001, -1])) == 6
    assert hs.outliers(np.array([5.0, 4, 1, -2])) == 2
    for bad in ([1.0, 2, 3, 4], [3.0, 2], [2.0, 1, -1, -2], [np.nan, 2, 1, 0.5]):
        with pytest.raises(ValueError, match="outliers are counted"):
            hs.outliers(np.array(bad))


def test_overlap_of_subspaces():
    frame = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
    turned = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0] @ frame[:3]
    assert float(hs.subspace_overlap(frame[:3], turned)) == pytest.approx(1) and float(
        hs.subspace_overlap(frame[:3], frame[3:])
    ) == pytest.approx(0, abs=1e-12)
    assert float(hs.subspace_overlap(frame[:2], frame[1:3])) == pytest.approx(0.5)


def test_the_network_is_as_large_as_its_docstring_says():
    assert (
        core_spec.count(hs.network(hs.Config().hidden)) == 104_842
        and core_spec.count(hs.network(hs.Config().small)) == 910
    )


@pytest.mark.parametrize(
    "bad",
    [
        {"middle": 3000},
        {"largest": 10},
        {"largest": 81},
        {"probes": 1},
        {"small_probes": 1},
        {"lanczos": 2000},
        {"rate": float("nan")},
        {"hidden": (0,)},
    ],
)
def test_bad_input_is_refused(bad):
    with pytest.raises(UserError):
        hs.Config(**bad)
