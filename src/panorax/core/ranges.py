"""Types of config fields that say which numbers make sense: `steps: Count`, `ema: Share`.

They are `int` and `float` to everything else; `check` holds a config to them.
"""

import dataclasses
import math
import types
import typing
from typing import Annotated, NamedTuple

from panorax.core.errors import UserError


class Range(NamedTuple):
    """Numbers from `low` to `high`, both included; without `zero`, 0 is not one of them."""

    low: float
    high: float = math.inf
    zero: bool = True

    def __contains__(self, x) -> bool:
        return self.low <= x <= self.high and (self.zero or x != 0)

    def __str__(self):
        above = f"above {self.low:g}" if self.low == 0 and not self.zero else f"at least {self.low:g}"
        return above + {math.inf: "", INT32: " and below 2^31"}.get(self.high, f" and at most {self.high:g}")


INT32 = 2**31 - 1
Count = Annotated[int, Range(1, INT32)]
Whole = Annotated[int, Range(0, INT32)]
Positive = Annotated[float, Range(0, zero=False)]
NonNegative = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, 1)]
PositiveShare = Annotated[float, Range(0, 1, zero=False)]


def check(cfg, prefix: str = "") -> None:
    """Raise UserError naming the first field of `cfg`, or of a config in it, whose number is outside its range or not finite."""
    hints = typing.get_type_hints(type(cfg), include_extras=True)
    for f in dataclasses.fields(cfg):
        value, name = getattr(cfg, f.name), prefix + f.name.strip("_").replace("_", "-")
        if dataclasses.is_dataclass(value):
            check(value, name + ".")
        else:
            _check(hints[f.name], value, name)


def _check(hint, value, name: str) -> None:
    """`hint` may be a choice with None, or a tuple of any length, of numbers with a range."""
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{name} must be a finite number, got {value}")
    if typing.get_origin(hint) is Annotated:
        for allowed in hint.__metadata__:
            if isinstance(allowed, Range) and value not in allowed:
                raise UserError(f"{name} must be {allowed}, got {value}")
    elif typing.get_origin(hint) in (types.UnionType, typing.Union) and value is not None:
        for choice in typing.get_args(hint):
            if choice is not type(None):
                _check(choice, value, name)
    elif typing.get_origin(hint) is tuple and typing.get_args(hint)[1:] == (...,):
        for each in value:
            _check(typing.get_args(hint)[0], each, name)
