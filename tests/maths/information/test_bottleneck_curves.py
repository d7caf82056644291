import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from panorax.maths.information import bottleneck_curves as bc
from panorax.testing.tolerances import DOUBLE, NUMBER

GRID = {"atol": 5e-3}
"""error of a Gaussian on a grid of 20 x 20 points, and of the stopping rule"""

information = lambda p: np.sum(
    p[p > 0] * np.log((p / (p.sum(1, keepdims=True) * p.sum(0, keepdims=True)))[p > 0])
)


def test_the_curve_of_a_symmetric_channel_matches_the_exact_one():
    # the compression is 0 for b below 1 / (1 - 2 flip)^2 = 1.5625
    flip, b = 0.1, np.array([1.2, 1.7, 2.0, 3.0, 8.0])
    curve = bc.bottleneck_curve(bc.binary_symmetric_joint(flip), b)
    np.testing.assert_allclose(curve.relevance, bc.binary_curve(curve.compression, flip), **DOUBLE)
    r = curve.compression
    assert r[0] < 1e-8 < 0.05 < r[1] < r[-1] < np.log(2)
    np.testing.assert_allclose(curve.encoder.sum(2), 1, **DOUBLE)


def test_binary_curve_is_attained_by_a_noisy_copy_of_the_bit():
    h = lambda a: -a * np.log(a) - (1 - a) * np.log(1 - a)
    for a in (0.05, 0.2, 0.45):  # T is the bit, flipped with probability a
        r, flip = np.log(2) - h(a), 0.15
        channel = np.array([[1 - flip, flip], [flip, 1 - flip]])
        joint = 0.5 * np.array([[1 - a, a], [a, 1 - a]]) @ channel
        np.testing.assert_allclose(bc.binary_curve(r, flip), information(joint), **DOUBLE)
    np.testing.assert_allclose(
        bc.binary_curve([0, np.log(2)], 0.15),
        [0, information(bc.binary_symmetric_joint(0.15))],
        **DOUBLE,
    )


@given(st.integers(0, 2**32 - 1))
def test_any_curve_is_concave_and_obeys_data_processing(seed):
    joint = np.random.default_rng(seed).dirichlet(np.full(9, 0.5)).reshape(3, 3) * 0.97 + 0.03 / 9
    b = np.array([40.0, 1.5, 6.0, 3.0])
    curve = bc.bottleneck_curve(joint, b, 1e-9, 20_000)
    order = np.argsort(b)
    r, relevance, b = curve.compression[order], curve.relevance[order], b[order]
    assert (relevance <= r + 1e-9).all() and (relevance <= information(joint) + 1e-9).all()
    assert (np.diff(r) > -1e-6).all() and (np.diff(relevance) > -1e-6).all()
    objective = lambda i, at: r[i] - b[at] * relevance[i]
    assert all(objective(i, i) <= objective(j, i) + 1e-6 for i in range(4) for j in range(4))


def test_a_point_of_the_curve_matches_scipys_optimiser():
    joint, b = np.array([[0.25, 0.05], [0.1, 0.2], [0.05, 0.35]]), 5.0

    def objective(logits):
        encoder = np.exp(logits.reshape(3, 3))
        encoder /= encoder.sum(1, keepdims=True)
        return information(joint.sum(1)[:, None] * encoder) - b * information(encoder.T @ joint)

    best = min(
        minimize(objective, np.random.default_rng(i).normal(size=9) * 2, method="BFGS").fun
        for i in range(10)
    )
    curve = bc.bottleneck_curve(joint, [b])
    assert curve.compression[0] - b * curve.relevance[0] == pytest.approx(best, abs=1e-5)


def test_a_step_never_raises_the_objective():
    rng, b = np.random.default_rng(0), 4.0
    joint, encoder = rng.dirichlet(np.ones(12)).reshape(4, 3), rng.dirichlet(np.ones(4), 4)
    values = []
    with jax.enable_x64(True):
        for _ in range(6):
            values.append(
                information(joint.sum(1)[:, None] * encoder) - b * information(encoder.T @ joint)
            )
            encoder = np.asarray(bc.self_consistent_step(joint, encoder, b))
    assert (np.diff(values) < 1e-12).all() and values[-1] < values[0] - 0.01


def test_gaussians_on_a_grid_match_the_exact_curve():
    correlation, b = 0.8, np.array([1.0, 2.0, 3.0, 5.0])
    r, relevance = bc.gaussian_curve([correlation], b)
    curve = bc.bottleneck_curve(bc.gaussian_joint(correlation, 20), b, 1e-7, 2000)
    np.testing.assert_allclose(curve.relevance, relevance, **GRID)
    np.testing.assert_allclose(curve.compression, r, **GRID)
    assert information(bc.gaussian_joint(correlation, 40)) == pytest.approx(
        -0.5 * np.log(1 - correlation**2), abs=2e-3
    )


def test_the_gaussian_curve_is_attained_by_added_noise():
    # T = A X + noise in each canonical direction has I(X; T) = 1/2 log(1 + a_i) and
    # I(T; Y) = -1/2 log(1 - rho_i^2 a_i / (1 + a_i)); scipy finds the optimal a_i at each b
    rho, b = np.array([0.9, 0.6, 0.3]), 4.0
    point = lambda a: (0.5 * np.log1p(a).sum(), -0.5 * np.log1p(-(rho**2) * a / (1 + a)).sum())
    objective = lambda log_a: point(np.exp(log_a))[0] - b * point(np.exp(log_a))[1]
    best = minimize(
        objective,
        np.zeros(3),
        method="Nelder-Mead",
        options={"xatol": 1e-8, "fatol": 1e-13, "maxiter": 4000},
    )
    np.testing.assert_allclose(bc.gaussian_curve(rho, b), point(np.exp(best.x)), **NUMBER)
    assert (np.asarray(bc.gaussian_curve(rho, 1.0)) == 0).all()
    np.testing.assert_allclose(
        bc.gaussian_curve(rho, 1e9)[1], -0.5 * np.log1p(-(rho**2)).sum(), **NUMBER
    )


def test_bad_input_is_refused():
    joint = bc.binary_symmetric_joint(0.1)
    for wrong, message in (
        (joint * 0.9, "sum to 1"),
        ([[0.5, 0.5], [0.5, -0.5]], "at least 0"),
        ([0.5, 0.5], "2 axes"),
        ([[0.5, 0.5], [0, 0]], "every x"),
        (joint * np.nan, "finite"),
    ):
        with pytest.raises(ValueError, match=message):
            bc.bottleneck_curve(wrong, [1.0])
    for b in ([], [0.0], [np.nan], 2.0, [-1.0]):
        with pytest.raises(ValueError, match="b must be a list of finite numbers above 0"):
            bc.bottleneck_curve(joint, b)
    for r, flip in ((-0.1, 0.1), (0.7, 0.1), (np.nan, 0.1), (0.1, 1.5)):
        with pytest.raises(ValueError, match="compression must lie"):
            bc.binary_curve(r, flip)
    for rho, b in (([1.0], 2.0), ([0.0], 2.0), (0.5, 2.0), ([0.5], 0.0)):
        with pytest.raises(ValueError, match="correlations must be"):
            bc.gaussian_curve(rho, b)
    with pytest.raises(ValueError, match="between -1 and 1"):
        bc.gaussian_joint(1.0, 4)
