import pytest

from panorax.core.errors import UserError
from panorax.theory.saddle_points.study import Config


@pytest.mark.parametrize(
    "bad",
    [
        {"searched": 1},
        {"counted": 2},
        {"searched": 30},
        {"curvatures": (1.0,)},
        {"curvatures": (0.0, 1.0)},
        {"dims": (3,)},
        {"chain": 1},
        {"goe": 10, "goe_batches": 1},
    ],
)
def test_bad_config_is_refused(bad):
    with pytest.raises(UserError):
        Config(**bad)
