import pytest

from panorax.theory.saddle_points.escapes import growth, power_of_curvature, stuck_at


def test_descent_from_the_stable_manifold_stays_on_it():
    assert stuck_at(3) == 0


def test_growth_and_power_are_those_of_exact_laws():
    assert growth({n: 3.0 * 2**n for n in range(1, 9)}) == pytest.approx(2)
    assert power_of_curvature({g: 5 * g**-1.5 for g in (1.0, 0.1, 0.01)}) == pytest.approx(1.5)
