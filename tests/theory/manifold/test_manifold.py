import pytest

from panorax.core.errors import UserError
from panorax.theory.manifold.dimensions import Estimates, metrics_of
from panorax.theory.manifold.study import Config


def test_metrics_name_cloud_and_scale():
    estimates = {"roll": Estimates(2.0, 2.5, {5: 1.5, 10: 1.75})}
    assert metrics_of(estimates, named=10) == {
        "mle_roll_k5": 1.5,
        "mle_roll_k10": 1.75,
        "two_nn_roll": 2.0,
        "pca_roll": 2.5,
        "mle_roll": 1.75,
    }


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
def test_bad_config_is_refused(change):
    with pytest.raises(UserError):
        Config(**change)
