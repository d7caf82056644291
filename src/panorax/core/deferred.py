"""Imports that are deferred until an attribute of the module is used."""

import importlib
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec


@contextmanager
def deferred(*packages: str) -> Iterator[None]:
    """While it lasts, importing a module of these packages (`seaborn`, `flax.linen`) costs nothing: a stand-in is bound, which imports it when something
    of it is first used.

    For libraries that import what draws pictures (seaborn, with it pandas and scipy.stats: most of a second) together with what computes. Modules
    that are imported already are left alone, and afterwards an import is an import again. Only modules can be put off: what the library takes from
    one of them by name would be a stand-in too.
    """
    finder = _Finder([name for name in packages if name not in sys.modules])
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for module in finder.found:
            sys.modules.pop(module.__name__, None)
            module.put_off = False


class _Finder:
    """Finds a stand-in for every module of the packages."""

    def __init__(self, packages: list[str]):
        self.packages, self.found = packages, []

    def find_spec(self, name, path=None, target=None):
        return (
            ModuleSpec(name, self, is_package=True)
            if any(f"{name}.".startswith(f"{package}.") for package in self.packages)
            else None
        )

    def create_module(self, spec):
        self.found.append(_StandIn(spec.name))
        return self.found[-1]

    def exec_module(self, module):
        pass


class _StandIn(types.ModuleType):
    put_off = True

    def __getattr__(self, name: str):
        if self.put_off:
            raise AttributeError(
                f"module {self.__name__!r} is put off and has no attribute {name!r}"
            )
        return getattr(importlib.import_module(self.__name__), name)
