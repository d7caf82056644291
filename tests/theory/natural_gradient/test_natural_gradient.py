import pytest

from panorax.core.errors import UserError
from panorax.theory.natural_gradient.study import Config


@pytest.mark.parametrize(
    "change, message",
    [
        ({"dampings": ()}, "must not be empty"),
        ({"steps": 9}, "at least 10"),
        ({"sgd_momenta": (1.0,)}, "below 1"),
        ({"dampings": (0.0,)}, "dampings must be above 0"),
    ],
)
def test_bad_config_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        Config(**change)
