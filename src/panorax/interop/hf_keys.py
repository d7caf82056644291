"""Checked reading of the keys of a config.json.

Every key that is read is removed. `Keys.done` rejects the keys that are left, so that no setting of
a model is ignored silently.
"""

import reprlib
from collections.abc import Callable, Set

from panorax.core.errors import UserError
from panorax.core.ranges import INT32

TINY, HUGE = 1e-37, 3e38  # range of positive float32 numbers


class Keys:
    """The unread keys of the object `values`; `where` names the object in error messages.

    Raises UserError if `values` is not a dict.
    """

    def __init__(self, values, where: str = "config.json"):
        if not isinstance(values, dict):
            raise UserError(f"{where} must be an object, got {reprlib.repr(values)}")
        self._left, self._where = dict(values), where

    def take(self, name: str, default=None):
        """The value of a key, or `default` if the key is absent."""
        return self._left.pop(name, default)

    def _checked(self, name: str, value, kinds: tuple[type, ...], bounds: tuple, accepted: str):
        low, high = bounds
        if type(value) not in kinds or not low <= value <= high:
            raise UserError(f"{self._where}: {name} must be {accepted}, got {reprlib.repr(value)}")
        return value

    def size(self, name: str, default: int | None = None, most: int = INT32) -> int:
        """A positive integer; the key is required if `default` is None."""
        accepted = f"a positive integer, at most {most}"
        return self._checked(name, self.take(name, default), (int,), (1, most), accepted)

    def whole(self, name: str, default: int) -> int:
        """A non-negative integer."""
        accepted = "a non-negative integer"
        return self._checked(name, self.take(name, default), (int,), (0, INT32), accepted)

    def number(self, name: str, default: float | None = None) -> float:
        """A positive float32 number; the key is required if `default` is None."""
        value, accepted = self.take(name, default), "a positive number"
        return float(self._checked(name, value, (int, float), (TINY, HUGE), accepted))

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self.take(name, default)
        return self._checked(name, value, (bool,), (False, True), "true or false")

    def optional(self, read: Callable, name: str, default=None):
        """`read(name, default)`, or None if the key is null or is absent without a default."""
        if self._left.get(name, default) is None:
            return self.take(name)
        return read(name, default)

    def must(self, name: str, *allowed) -> None:
        """Raises UserError if the key has a value that is not `allowed`; absent means the first."""
        value = self.take(name, allowed[0])
        if value not in allowed:
            accepted = " or ".join(map(repr, allowed))
            raise self.unsupported(name, value, accepted)

    def unsupported(self, name: str, value, accepted: str) -> UserError:
        """The error for a value of a key that Panorax does not implement."""
        shown = reprlib.repr(value)
        return UserError(f"{self._where}: {name} {shown} is not supported, only {accepted}")

    def done(self, without_effect: Set[str] = frozenset(), ignore: Set[str] = frozenset()) -> None:
        """Raises UserError if keys are left that are neither in `without_effect` nor in `ignore`.

        A key of `ignore` that is not left is an error too: it is absent, or it has an effect.
        """
        unknown = self._left.keys() - without_effect
        if known := sorted(ignore - unknown):
            raise UserError(
                f"{self._where} has no unknown key {known[0]}; --ignore-key takes those"
            )
        if unknown := sorted(unknown - ignore):
            raise UserError(
                f"{self._where} has unknown keys: {', '.join(unknown)}; if they do not affect what "
                f"the model computes, add --ignore-key {' --ignore-key '.join(unknown)}"
            )
