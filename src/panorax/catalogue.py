"""Everything there is, read off the config files: an entry is a file `configs/<volume>/<name>.py`.

Nothing is listed by hand. Title and command come from the docstring of the config file, paper and equation from
that of the module that defines the type of the config, parts from what this module imports, tests from what
imports it. A config file adds literals:

    CLAIMS      the claims of its record
    HEADLINE    the metric of the claim that stands for the entry; by default that of the first claim
    ORACLE      what its parity tests compare with
    PARAMETERS  the parameter count of the paper's model

Files are parsed, not imported, so that listing them costs neither jax nor the systems.
"""

import ast
import functools
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from panorax.core.errors import UserError
from panorax.core.names import nearest

VOLUMES = (
    "theory", "vision", "sequence", "graphs", "lm", "alignment", "serving", "quantisation", "generative", "three_d",
    "multimodal", "agents", "rl", "distributed", "hardware",
)  # fmt: skip
BENCH = "bench"


@dataclass(frozen=True)
class Entry:
    """One config file."""

    name: str
    """volume and file, such as "lm/llama\""""
    path: Path
    title: str
    """first line of the docstring of the config file"""
    module: str
    """module that defines the type of the config: its system, study or comparison"""
    literals: dict[str, Any]
    """constants of the file that are literals: ORACLE, PARAMETERS, HEADLINE"""

    @property
    def volume(self) -> str:
        return self.name.partition("/")[0]

    @property
    def source(self) -> Path:
        """The file of the module."""
        return source_of(self.module)

    @property
    def about(self) -> str:
        """The docstring of the module: title, paper, equation."""
        return ast.get_docstring(_tree(self.source)) or ""

    @property
    def is_study(self) -> bool:
        """True if the module defines `study` instead of `system`."""
        return any(
            isinstance(node, ast.FunctionDef) and node.name == "study"
            for node in _tree(self.source).body
        )

    @property
    def parts(self) -> tuple[str, ...]:
        """Modules of networks, mathematics and data that the module imports, directly or through others."""
        rooms = ("ops", "nets", "maths", "data", "interop", self.volume)
        return tuple(
            sorted(
                m
                for m in closure(self.module) - {self.module}
                if m.split(".")[1:2] and m.split(".")[1] in rooms
            )
        )

    @property
    def tests(self) -> tuple[str, ...]:
        """Test files that import the module; none outside a source tree."""
        root = self.path.parents[2]
        found = (p for p in (root / "tests").rglob("test_*.py") if self.module in imports(p))
        return tuple(sorted(str(p.relative_to(root)) for p in found))

    def result(self) -> dict | None:
        """The recorded result beside the file, None if it has not been measured."""
        path = self.path.with_suffix(".json")
        return json.loads(path.read_text()) if path.is_file() else None


def root() -> Path:
    """The folder of the config files."""
    return Path(importlib.util.find_spec("panorax.configs").submodule_search_locations[0])


@functools.cache
def entries() -> tuple[Entry, ...]:
    """Every system and study, volume by volume."""
    return tuple(entry for volume in VOLUMES for entry in _folder(volume))


@functools.cache
def benchmarks() -> tuple[Entry, ...]:
    """Every comparison with other libraries."""
    return _folder(BENCH)


def names() -> tuple[str, ...]:
    """The names of all systems and studies."""
    return tuple(entry.name for entry in entries())


def find(name: str) -> Entry:
    """The entry `lm/llama`, or `llama` if no other volume has one of that name. Raises UserError with the nearest name."""
    exact = [entry for entry in entries() if entry.name == name]
    short = [entry for entry in entries() if entry.name.partition("/")[2] == name.replace("-", "_")]
    if len(found := exact or short) == 1:
        return found[0]
    known = (*names(), *(n.partition("/")[2] for n in names()))
    raise UserError(
        f"unknown system or config {name!r}{nearest(name, known)}; `panorax list` shows all, or give a .py file"
    )


def _folder(volume: str) -> tuple[Entry, ...]:
    paths = sorted(p for p in (root() / volume).glob("*.py") if p.name != "__init__.py")
    return tuple(read(path, f"{volume}/{path.stem}") for path in paths)


def read(path: Path, name: str) -> Entry:
    """The entry of one config file. Raises UserError for a file whose get_config() names no type that it imports."""
    tree = _tree(path)
    typed = {
        a.asname or a.name: node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for a in node.names
    }
    kind = next(
        (
            ast.unparse(n.returns)
            for n in tree.body
            if isinstance(n, ast.FunctionDef) and n.name == "get_config" and n.returns
        ),
        None,
    )
    if kind not in typed:
        raise UserError(
            f"{path}: get_config() must return a Config that the file imports: `def get_config() -> Config`"
        )
    title = (ast.get_docstring(tree) or name).splitlines()[0].rstrip(".")
    return Entry(name, path, title, typed[kind], dict(_literals(tree)))


def _literals(tree: ast.Module):
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                yield node.targets[0].id, ast.literal_eval(node.value)
            except ValueError:
                continue


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def source_of(module: str) -> Path:
    """The file of a module of panorax, without importing it."""
    first, *rest = module.split(".")[1:] or ["__init__"]
    base = root() if first == "configs" else Path(__file__).parent / first
    path = base.joinpath(*rest)
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@functools.cache
def imports(path: Path) -> frozenset[str]:
    """Modules of panorax that a file imports anywhere in it."""
    found = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("panorax"):
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in below if source_of(name).is_file()}
            found |= modules | ({node.module} if modules != below else set())
    return frozenset(name for name in found if name.startswith("panorax"))


def closure(module: str) -> set[str]:
    """The modules of panorax that `module` needs, itself included."""
    found, todo = set(), [module]
    while todo:
        if (name := todo.pop()) not in found and source_of(name).is_file():
            found.add(name)
            todo += imports(source_of(name))
    return found
