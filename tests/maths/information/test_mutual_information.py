import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.special import digamma
from sklearn.feature_selection import mutual_info_regression

from panorax.core import spec as core_spec
from panorax.maths.information import mutual_information as mi
from panorax.testing.tolerances import LAYER, NUMBER

NOISE = {"atol": 0.05}
"""sampling error of the covariance of 20,000 draws"""

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(4, 4)).astype(np.float32) * 2
OTHERS = SCORES[~np.eye(4, dtype=bool)].astype(np.float64)


def by_trees(x, y, k):
    """KSG's first estimator with scipy's k-d trees, whose balls are closed."""
    ball = lambda z, radius: np.array(
        [len(cKDTree(z).query_ball_point(p, r, p=np.inf)) for p, r in zip(z, radius, strict=True)]
    )
    radius = cKDTree(np.hstack([x, y])).query(np.hstack([x, y]), k + 1, p=np.inf)[0][:, -1]
    inside = np.nextafter(radius, 0)
    return (
        digamma(k) + digamma(len(x)) - np.mean(digamma(ball(x, inside)) + digamma(ball(y, inside)))
    )


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 6]), st.sampled_from([(2, 1), (1, 3)]))
def test_ksg_matches_scipys_trees(seed, k, dims):
    rng = np.random.default_rng(seed)
    # on a grid, sums are exact and distances often tie; the offsets keep the pairs distinct
    x, y = (
        rng.integers(-64, 64, (60, d)).astype(np.float32) / 16
        + np.arange(60, dtype=np.float32)[:, None] * 2**-16
        for d in dims
    )
    np.testing.assert_allclose(
        mi.ksg(x, y, k, block=16),
        by_trees(x.astype(np.float64), y.astype(np.float64), k),
        **LAYER,
    )


def test_ksg_matches_scikit_learn():
    x, y = (np.asarray(part) for part in mi.correlated_gaussians(KEY, 400, 1, 0.7))
    # scikit-learn divides by the standard deviation and adds relative noise of 1e-10
    x, y = x / x.std(), y / y.std()
    theirs = mutual_info_regression(
        x.astype(np.float64),
        y[:, 0].astype(np.float64),
        n_neighbors=3,
        discrete_features=False,
        random_state=0,
    )
    np.testing.assert_allclose(mi.ksg(x, y, 3), theirs[0], **LAYER)
    assert abs(mi.ksg(x, y, 3) - 0.7) < 0.15


def test_ksg_does_not_depend_on_order_or_block():
    x, y = (np.asarray(part) for part in mi.correlated_gaussians(KEY, 60, 2, 1.0))
    estimate = mi.ksg(x, y, 3)
    order = RNG.permutation(60)
    for same in (
        mi.ksg(y, x, 3),
        mi.ksg(x[order], y[order], 3),
        mi.ksg(x, y, 3, block=7),
        mi.ksg(x, y, 3, block=1000),
    ):
        assert same == pytest.approx(estimate, abs=1e-6)
    assert abs(mi.ksg(x, RNG.normal(size=(60, 2)).astype(np.float32), 3)) < 0.25


def test_ksg_refuses_bad_input():
    x = RNG.normal(size=(20, 2)).astype(np.float32)
    with pytest.raises(
        ValueError, match=r"must be \(N, D\) and \(N, E\), got \(20, 2\) and \(20,\)"
    ):
        mi.ksg(x, x[:, 0])
    with pytest.raises(ValueError, match="must be"):
        mi.ksg(x, x[:19])
    with pytest.raises(ValueError, match="must be"):
        mi.ksg(x[:0], x[:0])
    with pytest.raises(ValueError, match="between 1 and N - 1 for N = 20 points, got 20"):
        mi.ksg(x, x, 20)
    with pytest.raises(ValueError, match="N = 1 points, got 3"):
        mi.ksg(x[:1], x[:1])
    with pytest.raises(ValueError, match="N = 20 points, got 0"):
        mi.ksg(x, x, 0)
    with pytest.raises(ValueError, match="finite"):
        mi.ksg(np.where(x == x[3, 1], np.nan, x), x)
    with pytest.raises(ValueError, match="occurs 4 times in the data"):
        mi.ksg(
            np.concatenate([x, x[:1], x[:1], x[:1]]), np.concatenate([x, x[:1], x[:1], x[:1]]), 3
        )
    three_times = np.concatenate([x, x[:1], x[:1]])
    np.testing.assert_allclose(
        mi.ksg(three_times, three_times, 3), by_trees(three_times, three_times, 3), **NUMBER
    )


@pytest.mark.parametrize("nats, d", [(0.5, 1), (3.0, 7), (8.0, 1)])
def test_correlated_gaussians_have_the_given_information(nats, d):
    x, y = (np.asarray(part, np.float64) for part in mi.correlated_gaussians(KEY, 20_000, d, nats))
    covariance = np.cov(np.hstack([x, y]).T)
    logdet = lambda c: np.linalg.slogdet(c)[1]
    assert 0.5 * (
        logdet(covariance[:d, :d]) + logdet(covariance[d:, d:]) - logdet(covariance)
    ) == pytest.approx(nats, abs=0.05)
    np.testing.assert_allclose(covariance.diagonal(), 1, **NOISE)
    assert mi.gaussian_information(math.sqrt(-math.expm1(-2 * nats / d)), d) == pytest.approx(nats)
    with pytest.raises(ValueError, match="between -1 and 1, got 1"):
        mi.gaussian_information(1, d)


def test_bounds_match_their_formulas():
    pairs, score = np.diagonal(SCORES).astype(np.float64), SCORES.astype(np.float64)
    np.testing.assert_allclose(
        mi.donsker_varadhan(SCORES), pairs.mean() - np.log(np.exp(OTHERS).mean()), **NUMBER
    )
    np.testing.assert_allclose(mi.nwj(SCORES), pairs.mean() - np.exp(OTHERS - 1).mean(), **NUMBER)
    np.testing.assert_allclose(
        mi.infonce(SCORES), np.mean(pairs - np.log(np.exp(score).mean(1))), **NUMBER
    )


@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, 30.0]))
def test_infonce_stays_below_log_batch_and_nwj_below_dv(seed, scale):
    score = np.random.default_rng(seed).normal(size=(4, 4)).astype(
        np.float32
    ) * scale + scale * np.eye(4, dtype=np.float32)
    assert mi.infonce(score) <= math.log(4) + 1e-5
    assert mi.nwj(score) <= mi.donsker_varadhan(score) + 1e-4
    np.testing.assert_allclose(mi.donsker_varadhan(score + 3), mi.donsker_varadhan(score), **LAYER)
    np.testing.assert_allclose(mi.infonce(score + score[:, :1]), mi.infonce(score), **LAYER)


def test_bounds_at_the_optimal_critic_are_the_information():
    nats = 1.0
    x, y = (np.asarray(part) for part in mi.correlated_gaussians(KEY, 2000, 1, nats))
    r2 = -math.expm1(-2 * nats)
    ratio = nats - (r2 * (x**2 + y[:, 0][None] ** 2) - 2 * r2**0.5 * x * y[:, 0][None]) / (
        2 * (1 - r2)
    )
    for estimate in (mi.donsker_varadhan(ratio), mi.nwj(ratio + 1), mi.infonce(ratio)):
        assert float(estimate) == pytest.approx(nats, abs=0.08)


def test_the_gradient_of_mine_uses_the_moving_average():
    average, rate = 1.7, 0.1
    slope, pull = jax.grad(mi.mine_loss, (0, 1))(jnp.asarray(SCORES), jnp.float32(average), rate)
    mean = np.exp(OTHERS).mean()
    m = (1 - rate) * average + rate * mean
    expected = np.where(np.eye(4, dtype=bool), -1 / 4, np.exp(SCORES.astype(np.float64)) / 12 / m)
    np.testing.assert_allclose(slope, expected, **NUMBER)
    update, _ = optax.sgd(rate).update(pull, optax.sgd(rate).init(pull))
    np.testing.assert_allclose(average + update, m, **NUMBER)
    # at average = batch mean, the gradient is DV's
    np.testing.assert_allclose(
        jax.grad(mi.mine_loss)(jnp.asarray(SCORES), jnp.float32(mean), rate),
        -jax.grad(mi.donsker_varadhan)(jnp.asarray(SCORES)),
        **NUMBER,
    )


def test_bounds_refuse_scores_that_are_not_square():
    for bound in (
        mi.donsker_varadhan,
        mi.nwj,
        mi.infonce,
        lambda score: mi.mine_loss(score, jnp.float32(1), 0.1),
    ):
        with pytest.raises(ValueError, match="with B at least 2"):
            bound(jnp.ones((3, 4)))
        with pytest.raises(ValueError, match="with B at least 2"):
            bound(jnp.ones((1, 1)))


def test_scores_cover_all_pairs():
    params = core_spec.init(mi.critic_spec(2, 4), KEY)
    x, y = (jnp.asarray(RNG.normal(size=(3, 2)), jnp.float32) for _ in range(2))
    all_pairs = mi.scores(params, x, y)
    for i in range(3):
        for j in range(3):
            np.testing.assert_allclose(
                all_pairs[i, j], mi.scores(params, x[i : i + 1], y[j : j + 1])[0, 0], **NUMBER
            )


def test_each_critic_maximises_its_own_bound():
    pairs = lambda key: mi.correlated_gaussians(key, 64, 1, 0.7)
    trained = jax.jit(
        lambda key: mi.climb(
            tuple(mi.BOUNDS), pairs, mi.critic_spec(1, 16), key, 400, 5e-3, rate=0.05
        )
    )(KEY)
    x, y = mi.correlated_gaussians(jax.random.key(1), 1000, 1, 0.7)
    for name, bound in mi.BOUNDS.items():
        assert 0.5 < float(bound(mi.scores(trained[name], x, y))) < 0.8, name
    heads = [np.asarray(trained[name]["x"]["head"]["w"]) for name in mi.BOUNDS]
    assert all(not np.array_equal(a, b) for a, b in itertools.combinations(heads, 2))
