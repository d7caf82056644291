import numpy as np
import pytest

from panorax.core.errors import UserError
from panorax.data.datasets import digit_vectors
from panorax.theory.manifold.study import Config, linear_error


def test_the_linear_error_is_the_tail_of_the_singular_values():
    x = digit_vectors()[0]
    singular = np.linalg.svd(x - x.mean(0), compute_uv=False)
    assert linear_error(x, x, 10) == pytest.approx(
        np.sum(singular[10:] ** 2) / np.sum(singular**2), rel=1e-4
    )


@pytest.mark.parametrize(
    "change",
    [
        {"neighbors": (5,)},
        {"neighbors": (2, 5)},
        {"points": 100},
        {"roll_widths": (2, 3)},
        {"digit_widths": (4,)},
    ],
)
def test_what_cannot_be_studied_is_refused(change):
    with pytest.raises(UserError):
        Config(**change)
