"""Checked configs: `@checked` dataclasses whose values must have their types and ranges.

    @checked
    class Config:
        steps: Count = 1000
        ema: Share = 0.999

Type checkers see the types as `int` and `float`. A number out of range raises ConfigError, from
Python and from the command line alike.
"""

import dataclasses
import math
import numbers
import types
import typing
from typing import Annotated, NamedTuple

from panorax.core.errors import UserError


class Kind(NamedTuple):
    """A scalar type of options."""

    type: type
    """type of its values, also those of numpy"""
    text: str
    """the type for users"""


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


KINDS = {
    int: Kind(numbers.Integral, "a whole number"),
    float: Kind(numbers.Real, "a number"),
    bool: Kind(bool, "True or False"),
    str: Kind(str, "a text"),
}
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
    """Makes `cls` a frozen dataclass that checks its values when it is created.

    Its own `__post_init__` runs after the check. Creation raises ConfigError if a value has another
    type than its field, or a number is out of range or not finite, and if `__post_init__` raises
    ValueError.
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
    """Raises ConfigError for the first value of `cfg` of another type, out of range or not finite.

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
    """Checks one value; `hint` may be a union, or a tuple of any length."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    kind = hint.__origin__ if origin is Annotated else hint
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{name} must be a finite number, got {value}")
    if kind in KINDS and (
        not isinstance(value, KINDS[kind].type) or (isinstance(value, bool) and kind is not bool)
    ):
        raise ConfigError(f"{name} must be {KINDS[kind].text}, got {value!r}")
    if origin is typing.Literal and value not in arguments:
        raise ConfigError(f"{name} must be one of {', '.join(map(str, arguments))}, got {value!r}")
    if origin is Annotated:
        for allowed in hint.__metadata__:
            if isinstance(allowed, Range) and value not in allowed:
                raise ConfigError(f"{name} must be {allowed}, got {value}")
    elif origin in (types.UnionType, typing.Union):
        _check_union(arguments, value, name)
    elif origin is tuple and arguments[1:] == (...,):
        if not isinstance(value, tuple):
            raise ConfigError(f"{name} must be a tuple, got {value!r}")
        for element in value:
            _check(arguments[0], element, name)
    elif dataclasses.is_dataclass(hint):
        raise ConfigError(f"{name} must be a config of type {hint.__name__}, got {value!r}")


def _check_union(choices: tuple, value, name: str) -> None:
    """Raises the error of the first choice if the value fits none."""
    errors = []
    for choice in choices:
        if choice is type(None):
            if value is None:
                return
            continue
        try:
            return _check(choice, value, name)
        except ConfigError as error:
            errors.append(error)
    raise errors[0]
