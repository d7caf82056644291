import dataclasses
import math
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorax import catalogue
from panorax.commands import experiment
from panorax.core import config
from panorax.core.errors import UserError
from panorax.core.ranges import (
    Count,
    DecayRate,
    NonNegative,
    Positive,
    PositiveShare,
    Share,
    Whole,
    check,
)

LEAVES = [
    (name, leaf) for name in catalogue.names() for leaf in config.leaves(experiment.load(name)[2])
]


@dataclasses.dataclass(frozen=True)
class Inner:
    counts: tuple[Count, ...] = (1, 2)
    rate: Positive | None = None


@dataclasses.dataclass(frozen=True)
class Outer:
    n_steps: Count = 1
    seed: Whole = 0
    share: Share = 0.5
    some: PositiveShare = 0.5
    decay: DecayRate = 0.0
    weight: NonNegative = 0.0
    free: float = -1.0
    name: str = "x"
    flag: bool = False
    kind: Literal["a", "b"] = "a"
    inner: Inner = Inner()


@pytest.mark.parametrize(
    "changed, message",
    [
        (dict(n_steps=0), "n-steps must be at least 1 and below 2^31, got 0"),
        (dict(n_steps=2**31), "n-steps must be at least 1 and below 2^31, got 2147483648"),
        (dict(seed=-1), "seed must be at least 0 and below 2^31, got -1"),
        (dict(share=1.5), "share must be at least 0 and at most 1, got 1.5"),
        (dict(some=0.0), "some must be above 0 and at most 1, got 0.0"),
        (dict(decay=1.0), "decay must be at least 0 and below 1, got 1.0"),
        (dict(weight=-0.1), "weight must be at least 0, got -0.1"),
        (dict(free=math.nan), "free must be a finite number, got nan"),
        (dict(inner=Inner(counts=(1, 0))), "inner.counts must be at least 1 and below 2^31, got 0"),
        (dict(inner=Inner(rate=0.0)), "inner.rate must be above 0, got 0.0"),
        (dict(n_steps=2.0), "n-steps must be a whole number, got 2.0"),
        (dict(n_steps="two"), "n-steps must be a whole number, got 'two'"),
        (dict(n_steps=None), "n-steps must be a whole number, got None"),
        (dict(seed=True), "seed must be a whole number, got True"),
        (dict(share="0.5"), "share must be a number, got '0.5'"),
        (dict(name=3), "name must be a text, got 3"),
        (dict(flag=1), "flag must be True or False, got 1"),
        (dict(kind="c"), "kind must be one of a, b, got 'c'"),
        (dict(inner=3), "inner must be a config of type Inner, got 3"),
        (dict(inner=Inner(counts=3)), "inner.counts must be a tuple, got 3"),
        (dict(inner=Inner(counts=("x",))), "inner.counts must be a whole number, got 'x'"),
        (dict(inner=Inner(rate="x")), "inner.rate must be a number, got 'x'"),
    ],
)
def test_the_first_field_out_of_range_is_named(changed, message):
    check(Outer())
    check(Outer(inner=Inner(rate=1e9)))
    check(Outer(n_steps=np.int64(3), share=np.float32(0.5), weight=1))
    with pytest.raises(UserError) as error:
        check(dataclasses.replace(Outer(), **changed))
    assert str(error.value) == message


@given(
    st.sampled_from(LEAVES),
    st.sampled_from(["", "x", "-1", "0", "1e400", "nan", "None", "1.5", "[", "9" * 30, "True"])
    | st.text(max_size=8),
)
def test_an_invalid_value_of_any_option_is_one_line_with_its_name(where, value):
    name, leaf = where
    try:
        config.override(experiment.load(name)[2], [f"--{leaf}={value}"])
    except UserError as error:
        assert "\n" not in str(error) and leaf.split(".")[-1].strip("-") in str(error).replace(
            "_", "-"
        )
