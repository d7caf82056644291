"""Deferred imports: a module is imported when one of its attributes is used."""

import importlib
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec


@contextmanager
def deferred(*packages: str) -> Iterator[None]:
    """Defers imports from these packages (`seaborn`, `flax.linen`) inside the block.

    Inside the block, importing a module of the packages binds a stand-in, which imports the module
    when one of its attributes is first used after the block. Modules that are imported already, and
    imports after the block, are unchanged. Only modules can be deferred: inside the block,
    `from package import name` treats `name` as a submodule.

    The purpose is start-up time: a library that imports seaborn for its plots, and hence pandas and
    scipy.stats, takes most of a second longer.
    """
    finder = _Finder([name for name in packages if name not in sys.modules])
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for module in finder.stand_ins:
            sys.modules.pop(module.__name__, None)
            module.deferred = False


class _Finder:
    """Import finder that creates a stand-in for every module of the packages."""

    def __init__(self, packages: list[str]):
        self.packages, self.stand_ins = packages, []

    def find_spec(self, name, path=None, target=None):
        if any(f"{name}.".startswith(f"{package}.") for package in self.packages):
            return ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        self.stand_ins.append(_StandIn(spec.name))
        return self.stand_ins[-1]

    def exec_module(self, module):
        pass


class _StandIn(types.ModuleType):
    deferred = True

    def __getattr__(self, name: str):
        if self.deferred:
            raise AttributeError(
                f"module {self.__name__!r} is deferred and has no attribute {name!r}"
            )
        return getattr(importlib.import_module(self.__name__), name)
