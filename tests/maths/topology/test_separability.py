import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Perceptron

from panorax.maths.estimates import share_interval
from panorax.maths.topology.separability import (
    count,
    cube,
    dichotomies,
    monomials,
    probability,
    separable,
    separable_dichotomies,
    separable_share,
)

XOR = -cube(2).prod(1)


@pytest.mark.parametrize("n, d", [(1, 1), (3, 2), (5, 3), (6, 2), (6, 4), (6, 7)])
def test_the_number_of_separable_dichotomies_is_covers(n, d):
    assert separable_dichotomies(np.random.default_rng(n + 10 * d).normal(size=(n, d))) == count(
        n, d
    )


def test_count_satisfies_the_recurrence():
    for n, d in itertools.product(range(1, 30), range(2, 12)):
        assert count(n + 1, d) == count(n, d) + count(n, d - 1)
        assert (count(n, d) == 2**n) == (n <= d)
    assert [count(n, 2) for n in range(1, 6)] == [2, 4, 6, 8, 10]  # lines through the origin
    assert all(probability(2 * d, d) == 0.5 for d in range(1, 400, 37))


@pytest.mark.parametrize("n, d", [(8, 4), (14, 5), (30, 15)])
def test_random_dichotomies_are_separable_with_covers_probability(n, d):
    hits, dimension = separable_share(np.random.default_rng(0), n, d, 200)
    low, high = share_interval(hits, 200)
    assert dimension == d and low - 0.02 < probability(n, d) < high + 0.02


def test_lifted_points_are_in_general_position_too():
    hits, dimension = separable_share(np.random.default_rng(1), 12, 2, 200, 2)
    assert dimension == 6 and abs(hits / 200 - 0.5) < 4 * (0.25 / 200) ** 0.5


def test_points_not_in_general_position_have_fewer_separable_dichotomies():
    assert separable_dichotomies(np.array([[1.0, 0], [2, 0], [0, 1]])) < count(3, 2)


@given(st.integers(0, 2**32 - 1))
def test_separable_agrees_with_a_perceptron(seed):
    rng = np.random.default_rng(seed)
    x, signs = rng.normal(size=(7, 3)), rng.choice((-1, 1), 7)
    if np.abs(signs.sum()) == 7:
        signs[0] *= -1
    learner = Perceptron(fit_intercept=False, tol=None, max_iter=3000, random_state=0).fit(x, signs)
    # with a tiny margin, about one example in a million, the perceptron would need more steps
    assert separable(x, signs) == (learner.predict(x) == signs).all()


def test_xor_is_separable_with_the_product_feature():
    assert not separable(monomials(cube(2), 1), XOR)
    assert separable(monomials(cube(2), 2), XOR)


@pytest.mark.parametrize(
    "bits, degree, expected",
    [(1, 1, 4), (2, 1, 14), (2, 2, 16), (3, 1, 104), (3, 2, 254), (3, 3, 256)],
)
def test_boolean_functions_that_are_polynomial_thresholds(bits, degree, expected):
    """Counts of Muroga 1971 for degree 1; degree 2 of three bits misses the two parities."""
    assert separable_dichotomies(monomials(cube(bits), degree)) == expected


def test_monomials_match_scikit_learn():
    from sklearn.preprocessing import PolynomialFeatures

    x = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_allclose(monomials(x, 3), PolynomialFeatures(3).fit_transform(x))
    assert monomials(x, 0).tolist() == [[1]] * 5


def test_scale_does_not_matter_and_the_origin_is_not_separable():
    x, signs = np.array([[1e-9, 0.0], [1e9, 1e8]]), np.array([1, -1])
    assert separable(x, signs) and separable(x[::-1] * 3, signs)
    assert not separable(np.zeros((1, 2)), np.ones(1))
    assert not separable(np.array([[1.0, 2], [1, 2]]), np.array([1, -1]))


def test_dichotomies_are_complete_and_distinct():
    listed = dichotomies(5)
    assert len({tuple(d) for d in np.concatenate([listed, -listed])}) == 32


def test_bad_input_is_refused():
    for n, d in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match="n and d must be at least 1"):
            count(n, d)
    for x, signs in (
        (np.zeros((0, 2)), np.zeros(0)),
        (np.ones((2, 2)), np.ones(3)),
        (np.ones(2), np.ones(2)),
    ):
        with pytest.raises(ValueError, match="points and signs must have shapes"):
            separable(x, signs)
    for x, signs in ((np.full((1, 2), np.nan), np.ones(1)), (np.ones((2, 2)), np.array([0, 1]))):
        with pytest.raises(ValueError, match="finite numbers, signs 1 or -1"):
            separable(x, signs)
    for n in (0, 17):
        with pytest.raises(ValueError, match="n must lie between 1 and 16"):
            dichotomies(n)
    with pytest.raises(ValueError, match="at least 0"):
        monomials(np.ones((1, 1)), -1)
