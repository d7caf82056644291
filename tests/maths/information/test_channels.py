import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from panorax.maths.information.channels import known_channels


def information(share: float, matrix: np.ndarray) -> float:
    """I(X; Y) in nats if the first input has probability `share`."""
    joint = np.array([share, 1 - share])[:, None] * matrix
    independent = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    used = joint > 0
    return float(np.sum(joint[used] * np.log(joint[used] / independent[used])))


@pytest.mark.parametrize("name", ["symmetric", "erasure", "z"])
@pytest.mark.parametrize("p", [0.05, 0.2, 0.7])
def test_capacity_is_the_largest_information_over_inputs(name, p):
    matrix, capacity = known_channels(p)[name]
    np.testing.assert_allclose(matrix.sum(1), 1)
    best = minimize_scalar(lambda share: -information(share, matrix), bounds=(1e-9, 1 - 1e-9))
    assert capacity == pytest.approx(-best.fun, abs=1e-8)


@pytest.mark.parametrize("p", [0.0, 1.0, float("nan")])
def test_error_probabilities_outside_0_and_1_are_refused(p):
    with pytest.raises(ValueError, match="between 0 and 1"):
        known_channels(p)
