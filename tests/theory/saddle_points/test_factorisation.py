import jax
import pytest

from panorax.theory.saddle_points.factorisation import factorisation


def test_all_critical_points_but_the_minimum_are_strict_saddles():
    metrics = factorisation(jax.random.key(0)).metrics
    assert metrics["factors_points"] == 15
    assert metrics["factors_wrong_index"] == 0 and metrics["factors_not_strict"] == 1
    assert metrics["factors_left_over_least"] == pytest.approx(1, abs=1e-4)
    assert metrics["factors_stayed_at"] == 0.5 * (256 + 81 + 16 + 1)
