"""Reasons of invalid options name the option; test_config.py tests those of the parser."""

import pytest

from panorax.core import reasons
from panorax.core.ranges import ConfigError

OPTIONS = {"optim.warmup": 4, "full.warmup": 5, "batch": 4, "a.rank": 7, "b.rank": 7}


@pytest.mark.parametrize(
    "message, expected",
    [
        ("too long: warmup must be at most 3, got 4", "too long: --optim.warmup must be at most 3"),
        ("batch must be even, got 4", "--batch must be even, got 4"),
        ("optim.warmup must be even, got 4", "optim.warmup must be even, got 4"),
        ("rank must be at least 8, got 7", "rank must be at least 8, got 7"),  # of which part?
        ("the data must be sorted", "the data must be sorted"),
    ],
)
def test_the_option_of_a_field_is_named_where_it_is_the_only_one(message, expected):
    with pytest.raises(ConfigError) as error, reasons.naming(OPTIONS):
        raise ConfigError(message)
    assert str(error.value).startswith(expected) and "----" not in str(error.value)
