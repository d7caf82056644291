"""Checked configs: `@checked` dataclasses whose numbers must lie in the ranges of their types.

    @checked
    class Config:
        steps: Count = 1000
        ema: Share = 0.999

Type checkers see the types as `int` and `float`. A number out of range raises ConfigError, from
Python and from the command line alike.
"""

import dataclasses
import math
import types
import typing
from typing import Annotated, NamedTuple

from panorax.core.errors import UserError


class Range(NamedTuple):
    """Numbers from `low` to `high`, both included; with `zero=False`, 0 is excluded."""

    low: float
    high: float = math.inf
    zero: bool = True

    def __contains__(self, x) -> bool:
        return self.low <= x <= self.high and (self.zero or x != 0)

    def __str__(self):
        positive = self.low == 0 and not self.zero
        lower = f"above {self.low:g}" if positive else f"at least {self.low:g}"
        upper = {math.inf: "", INT32: " and below 2^31", BELOW_1: " and below 1"}
        return lower + upper.get(self.high, f" and at most {self.high:g}")


INT32 = 2**31 - 1
BELOW_1 = 1 - 2.0**-24  # largest float32 below 1
Count = Annotated[int, Range(1, INT32)]
Whole = Annotated[int, Range(0, INT32)]
Positive = Annotated[float, Range(0, zero=False)]
NonNegative = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, 1)]
DecayRate = Annotated[float, Range(0, BELOW_1)]
PositiveShare = Annotated[float, Range(0, 1, zero=False)]


class ConfigError(UserError, ValueError):
    """An invalid config: the message names the field, the value and the accepted range."""


@typing.dataclass_transform(frozen_default=True)
def checked(cls: type) -> type:
    """Makes `cls` a frozen dataclass that checks its ranges when it is created.

    Its own `__post_init__` runs after the check. Creation raises ConfigError if a number is out of
    range or not finite, and if `__post_init__` raises ValueError.
    """
    own_check = getattr(cls, "__post_init__", lambda self: None)

    def __post_init__(self):
        check(self)
        try:
            own_check(self)
        except ConfigError:
            raise
        except ValueError as error:
            raise ConfigError(str(error)) from error

    cls.__post_init__ = __post_init__
    return dataclasses.dataclass(frozen=True)(cls)


def check(cfg, prefix: str = "") -> None:
    """Raises ConfigError for the first number of `cfg` that is out of range or not finite.

    Nested configs are checked too; `prefix` is the path of `cfg` in the outermost config.
    """
    hints = typing.get_type_hints(type(cfg), include_extras=True)
    for f in dataclasses.fields(cfg):
        value, name = getattr(cfg, f.name), prefix + f.name.strip("_").replace("_", "-")
        if dataclasses.is_dataclass(value):
            check(value, name + ".")
        else:
            _check(hints[f.name], value, name)


def _check(hint, value, name: str) -> None:
    """Checks one value; `hint` may be a union with None or a tuple of any length."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{name} must be a finite number, got {value}")
    if typing.get_origin(hint) is Annotated:
        for allowed in hint.__metadata__:
            if isinstance(allowed, Range) and value not in allowed:
                raise ConfigError(f"{name} must be {allowed}, got {value}")
    elif typing.get_origin(hint) in (types.UnionType, typing.Union) and value is not None:
        for choice in typing.get_args(hint):
            if choice is not type(None):
                _check(choice, value, name)
    elif typing.get_origin(hint) is tuple and typing.get_args(hint)[1:] == (...,):
        for number in value:
            _check(typing.get_args(hint)[0], number, name)
