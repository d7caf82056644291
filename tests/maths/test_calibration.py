import jax.numpy as jnp
import numpy as np
import pytest

from panorax.maths.calibration import calibration_error
from panorax.testing.tolerances import NUMBER

RNG = np.random.default_rng(0)


def by_definition(p: np.ndarray, label: np.ndarray, bins: int) -> float:
    """Sum over bins of their share times |accuracy - mean confidence|."""
    confidence, correct, total = p.max(1), p.argmax(1) == label, 0.0
    for i in range(bins):
        inside = (confidence > i / bins) & (confidence <= (i + 1) / bins)
        if inside.any():
            total += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    return total


def test_calibration_error_follows_its_definition():
    p = RNG.dirichlet(np.ones(4) * 0.4, 200).astype(np.float32)
    label = RNG.integers(0, 4, 200)
    error = calibration_error(jnp.asarray(p), jnp.asarray(label), 7)
    np.testing.assert_allclose(error, by_definition(p, label, 7), **NUMBER)


def test_calibration_error_of_certain_predictions_is_their_error_rate():
    certain = jnp.eye(2)[jnp.array([0, 0, 1, 1])]
    assert float(calibration_error(certain, jnp.array([0, 0, 1, 0]), 10)) == pytest.approx(0.25)


def test_the_last_bin_includes_confidence_1():
    same_bin = jnp.array([[1.0, 0.0], [0.95, 0.05]])
    error = float(calibration_error(same_bin, jnp.array([1, 0]), 10))
    assert error == pytest.approx(abs(1 - 1.95) / 2)


@pytest.mark.parametrize("labels", [0, 3])
def test_labels_of_other_lengths_are_refused(labels):
    with pytest.raises(ValueError, match="must be"):
        calibration_error(jnp.full((200, 4), 0.25), jnp.zeros(labels, int), 7)


def test_a_bin_includes_its_upper_end():
    """0.5 is in the first of two bins, so the two errors do not cancel."""
    p = jnp.array([[0.5, 0.5], [0.75, 0.25]])
    assert float(calibration_error(p, jnp.array([0, 1]), 2)) == pytest.approx((0.5 + 0.75) / 2)
