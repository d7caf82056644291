import pytest

from panorax.core.errors import UserError
from panorax.theory.topology.study import Config


@pytest.mark.parametrize(
    "change, message",
    [
        ({"circle": 10}, "multiple of 3"),
        ({"sphere": 9}, "at least 10 points"),
        ({"ring": 10}, "a ring more than 10"),
        ({"bits": 5}, "bits must be at most 4"),
        ({"few": 17}, "few at most 16"),
        ({"dimensions": ()}, "dimensions not empty"),
        ({"digits": 20}, "at least 50"),
    ],
)
def test_bad_config_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        Config(**change)
