import numpy as np
import pytest

from panorax.maths.optimisation.convergence import order


def test_order_of_linear_and_quadratic_convergence():
    assert order(np.array([1.0, 0.1, 0.01, 0.001])) == pytest.approx(1)
    assert order(np.array([1e-1, 1e-2, 1e-4, 1e-8])) == pytest.approx(2)


def test_two_errors_have_no_order():
    assert np.isnan(order(np.array([0.1, 0.01])))


def test_the_largest_order_counts_wherever_it_is():
    assert order(np.array([1e-1, 1e-2, 1e-4, 1e-5])) == pytest.approx(2)
