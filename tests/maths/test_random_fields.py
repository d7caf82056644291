import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from panorax.maths import random_fields as rf
from panorax.testing.tolerances import DOUBLE, NUMBER

NOISE = {"atol": 0.08}
"""sampling error of variances of 20,000 matrices, and of covariances of 4,000 fields"""
SHARES = {"atol": 0.02}
"""sampling error of shares from 20,000 matrices"""

KEY = jax.random.key(0)
MATRICES = np.asarray(rf.goe(KEY, 20_000, 5))
PIVOTS = jax.jit(rf.pivots)
EARLY = jax.jit(lambda key, f: rf.critical_points(f, key, 2, 3.0, 200, steps=4))
SEARCH = jax.jit(lambda key, f: rf.critical_points(f, key, 2, 3.0, 200))


def test_goe_has_its_variances():
    square = MATRICES.var(0)
    np.testing.assert_allclose(square, 1 + np.eye(5), **NOISE)
    np.testing.assert_array_equal(MATRICES, MATRICES.swapaxes(1, 2))
    assert abs(np.mean(MATRICES[:, 0, 1] * MATRICES[:, 0, 2])) < 0.03


@given(st.integers(0, 2**32 - 1))
def test_pivots_give_inertia_and_determinant(seed):
    a = np.random.default_rng(seed).normal(size=(7, 4, 4))
    with jax.enable_x64(True):
        a = a + a.swapaxes(1, 2)
        pivots = np.asarray(PIVOTS(a))
    np.testing.assert_array_equal((pivots < 0).sum(-1), (np.linalg.eigvalsh(a) < 0).sum(-1))
    np.testing.assert_allclose(pivots.prod(-1), np.linalg.det(a), **DOUBLE)
    np.testing.assert_array_equal(
        (pivots[:, :3] < 0).sum(-1), (np.linalg.eigvalsh(a[:, :3, :3]) < 0).sum(-1)
    )


def test_shares_of_positive_matrices_are_the_closed_forms():
    shares = np.asarray(rf.positive_shares(KEY, 4, 50_000, 2))
    for d, exact in rf.ALL_POSITIVE.items():
        assert abs(shares[d - 1] - exact) < 4 * (exact * (1 - exact) / 100_000) ** 0.5
    b = np.random.default_rng(0).normal(size=(200_000, 4, 4))
    theirs = np.mean(np.linalg.eigvalsh(b + b.swapaxes(1, 2))[:, 0] > 0)
    assert abs(shares[3] - theirs) < 4 * (theirs * 1.5 / 100_000) ** 0.5 and theirs < 0.005


@pytest.mark.parametrize("d", rf.MINIMA)
def test_shares_of_minima_are_the_closed_forms(d):
    weight, value = (
        np.asarray(part, np.float64) for part in rf.kac_rice(MATRICES[:, : d + 1, : d + 1])
    )
    share = weight.mean(0) / weight.mean(0).sum()
    left = (weight[:, 0] - share[0] * weight.sum(1)) / weight.mean(0).sum()
    assert abs(share[0] - rf.MINIMA[d]) < 4 * left.std() / len(left) ** 0.5
    np.testing.assert_allclose(share, share[::-1], **SHARES)
    assert (np.diff(value, axis=1) >= 0).all()


def test_kac_rice_weights_match_the_formula_with_the_determinant():
    rng, d = np.random.default_rng(1), 4
    b, f = rng.normal(size=(100_000, d, d)), rng.normal(size=100_000)
    h = (b + b.swapaxes(1, 2)) / 2**0.5 - f[:, None, None] * np.eye(d)
    size, index = np.abs(np.linalg.det(h)), (np.linalg.eigvalsh(h) < 0).sum(1)
    weight, value = (np.asarray(part, np.float64) for part in rf.kac_rice(MATRICES))
    for k in range(d + 1):
        assert weight.mean(0)[k] / weight.mean(0).sum() == pytest.approx(
            size[index == k].sum() / size.sum(), rel=0.1
        )
        theirs = np.average(f[index == k], weights=size[index == k])
        assert np.average(value[:, k], weights=weight[:, k]) == pytest.approx(theirs, abs=0.1)
    assert np.mean(rf.points_per_volume(MATRICES)) == pytest.approx(
        size.mean() / (2 * np.pi) ** (d / 2), rel=0.05
    )


def test_points_per_volume_in_one_dimension():
    exact, _ = integrate.quad(
        lambda h: abs(h) * stats.norm.pdf(h, scale=3**0.5), -20, 20, points=[0]
    )
    assert np.mean(rf.points_per_volume(MATRICES[:, :2, :2])) == pytest.approx(
        exact / (2 * np.pi) ** 0.5, rel=0.03
    )


def test_a_field_has_its_covariance():
    x = jnp.array([[0.0, 0.0], [0.7, -0.4], [2.0, 1.0]])
    values = np.asarray(
        jax.jit(jax.vmap(lambda key: jax.vmap(rf.field(key, 2, 64))(x)))(
            jax.random.split(KEY, 4000)
        )
    )
    exact = np.exp(-0.5 * np.sum((np.asarray(x)[:, None] - np.asarray(x)[None]) ** 2, -1))
    np.testing.assert_allclose(values.T @ values / 4000, exact, **NOISE)


def test_all_critical_points_of_a_product_of_waves_are_found_once():
    ends = jax.tree.map(
        np.asarray,
        SEARCH(KEY, rf.Field(jnp.array([[2.0, 0.0], [0.0, 2.0]]), jnp.ones(2), jnp.zeros(2))),
    )
    # cos 2x + cos 2y in [0, 3]^2: multiples of pi / 2; points at 0 may lie just outside
    points = ends.x[ends.first]
    inside = (points > 0.1).all(1)
    np.testing.assert_allclose(points[inside], [[np.pi / 2, np.pi / 2]], **NUMBER)
    index, value = ends.index[ends.first], ends.value[ends.first]
    assert index[inside] == 0 and value[inside] == pytest.approx(-2 / 2**0.5)
    grid = np.round(points / (np.pi / 2)).astype(int)
    np.testing.assert_array_equal(index, (grid % 2 == 0).sum(1))
    assert len(np.unique(grid, axis=0)) == len(grid) and ends.valid.sum() > ends.first.sum()


def test_first_points_are_critical_inside_the_box_and_distinct():
    f = rf.field(jax.random.key(6), 2, 32)
    ends = jax.tree.map(np.asarray, SEARCH(KEY, f))
    x = ends.x[ends.first]
    assert len(x) > 0 and (x >= 0).all() and (x <= 3).all()
    assert np.abs(np.asarray(jax.vmap(jax.grad(f))(x))).max() < 1e-4
    hessians = np.asarray(jax.vmap(jax.hessian(f))(x))
    np.testing.assert_array_equal(ends.index[ends.first], (np.linalg.eigvalsh(hessians) < 0).sum(1))
    np.testing.assert_allclose(ends.value[ends.first], jax.vmap(f)(x), **NUMBER)
    apart = np.linalg.norm(x[:, None] - x[None], axis=-1) + 9 * np.eye(len(x))
    assert apart.min() > 0.02
    nearest = np.linalg.norm(ends.x[ends.valid][:, None] - x[None], axis=-1).min(1)
    assert nearest.max() < 0.02


def test_an_unconverged_search_hides_no_point():
    ends = jax.tree.map(np.asarray, EARLY(KEY, rf.field(jax.random.key(6), 2, 32)))
    x, valid = ends.x[ends.first], ends.x[ends.valid]
    near = np.linalg.norm(ends.x[:, None] - x[None], axis=-1) < 0.02
    assert len(x) > 0 and (near & ~ends.valid[:, None]).any()
    assert np.linalg.norm(valid[:, None] - x[None], axis=-1).min(1).max() < 0.02


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: rf.field(KEY, 0, 3), "at least 1, got 0 and 3"),
        (lambda: rf.field(KEY, 2, 0), "at least 1, got 2 and 0"),
        (lambda: rf.goe(KEY, 0, 3), "at least 1, got 0 and 3"),
        (lambda: rf.goe(KEY, 3, 0), "at least 1, got 3 and 0"),
        (lambda: rf.pivots(jnp.zeros((2, 3))), "must be square"),
        (lambda: rf.pivots(jnp.zeros(3)), "must be square"),
        (lambda: rf.critical_points(jnp.sum, KEY, 2, 0.0, 3), "must be above 0"),
        (lambda: rf.critical_points(jnp.sum, KEY, 2, float("nan"), 3), "must be above 0"),
        (lambda: rf.critical_points(jnp.sum, KEY, 2, 1.0, 0), "must be above 0"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
