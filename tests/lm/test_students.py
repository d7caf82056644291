import numpy as np
import pytest

from panorax.lm.students import compared


def test_gains_are_differences_of_the_same_seed():
    bits = {"alone": np.array([2.0, 2.2, 2.4]), "distilled": np.array([1.9, 2.0, 2.1])}
    result = compared(bits, 1.5)
    assert result.metrics["mean_gain"] == pytest.approx(0.2)
    assert result.metrics["smallest_gain"] == pytest.approx(0.1)
    assert result.metrics["gain_in_errors"] == pytest.approx(0.2 / (0.1 / 3**0.5))
    assert result.metrics["distilled_bits_per_byte"] == pytest.approx(2.0)
