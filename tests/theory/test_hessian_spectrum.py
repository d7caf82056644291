import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.maths.optimisation.curvature import to_vectors
from panorax.maths.spectra import subspace_overlap
from panorax.nets import mlp
from panorax.testing.tolerances import DOUBLE, NUMBER
from panorax.theory import hessian_spectrum as hs

X = jnp.asarray(np.random.default_rng(0).normal(size=(30, 64)), jnp.float32)
LABEL = jnp.asarray(np.arange(30) % 10)
CFG = hs.Config(hidden=(2,), small=(2,), lanczos=60, probes=20, small_probes=30, largest=11)
PARAMS = core_spec.init(hs.network((2,)), jax.random.key(0))


def test_spectrum_matches_the_dense_hessian_and_gauss_newton_matrix():
    f, vector, back = to_vectors(lambda params: hs.mean_loss(params, X, LABEL), PARAMS)
    hessian = jax.jit(jax.hessian(f))(vector)
    jacobian = np.asarray(jax.jit(jax.jacfwd(lambda v: mlp.perceptron(back(v), X)))(vector))
    p = np.asarray(jax.nn.softmax(mlp.perceptron(PARAMS, X), 1))
    covariance = [np.diag(q) - np.outer(q, q) for q in p]
    gauss_newton = sum(j.T @ c @ j for j, c in zip(jacobian, covariance, strict=True)) / len(X)
    (values, vectors), (g_values, g_vectors) = map(np.linalg.eigh, (hessian, gauss_newton))
    measured = jax.jit(lambda params: hs.spectrum(params, X, LABEL, jax.random.key(1), CFG))(PARAMS)
    np.testing.assert_allclose(measured.hessian, values[::-1][:11], **NUMBER)
    np.testing.assert_allclose(measured.gauss_newton, g_values[::-1][:11], **NUMBER)
    overlap = float(subspace_overlap(vectors[:, -9:].T, g_vectors[:, -9:].T))
    assert float(measured.overlap) == pytest.approx(overlap, abs=1e-3) and overlap < 0.999
    np.testing.assert_allclose(measured.loss, f(vector), **NUMBER)
    summary = hs.summarised(measured)
    negative_share = -values[values < 0].sum() / np.abs(values).sum()
    near_zero = np.mean(np.abs(values) < 0.01 * values[-1])
    assert summary.negative_share == pytest.approx(negative_share, abs=0.06)
    assert summary.near_zero == pytest.approx(near_zero, abs=0.08)
    assert summary.smallest == pytest.approx(values[0], rel=1e-2)
    assert summary.largest == pytest.approx(values[-1], rel=1e-4)


def test_lanczos_on_a_small_network_matches_all_its_eigenvalues():
    with jax.enable_x64(True):
        comparison = hs.compared(PARAMS, X, LABEL, jax.random.key(2), CFG)
        metrics = hs.errors(comparison)
        x, params = jax.tree.map(lambda a: a.astype(float), (X, PARAMS))
        f, vector, _ = to_vectors(lambda params: hs.mean_loss(params, x, LABEL), params)
        exact = np.linalg.eigvalsh(jax.jit(jax.hessian(f))(vector))
    np.testing.assert_allclose(comparison.exact, exact, **DOUBLE)
    assert metrics["small_all_error"] < 1e-12 and metrics["small_top_error"] < 1e-6
    assert metrics["small_kolmogorov"] < 0.05 and metrics["small_wasserstein"] < 0.02
    assert metrics["small_trace_z"] < 4
    assert comparison.quadrature.nodes.shape == (30, 60)


def test_training_is_sgd_with_momentum():
    rows = jnp.array([[0, 1, 2], [3, 4, 5]])
    after = hs.trained(PARAMS, X, LABEL, rows, 0.1)
    gradient = jax.grad(lambda params, rows: hs.mean_loss(params, X[rows], LABEL[rows]))
    g = ravel_pytree(gradient(PARAMS, rows[0]))[0]
    x, back = ravel_pytree(PARAMS)
    x = x - 0.1 * g
    x = x - 0.1 * (0.9 * g + ravel_pytree(gradient(back(x), rows[1]))[0])
    np.testing.assert_allclose(ravel_pytree(after)[0], x, **NUMBER)


def test_networks_have_the_documented_numbers_of_parameters():
    assert core_spec.count(hs.network(hs.Config().hidden)) == 104_842
    assert core_spec.count(hs.network(hs.Config().small)) == 910


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
