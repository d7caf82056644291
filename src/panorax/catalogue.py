"""The catalogue of systems, studies and comparisons, read from the config files.

An entry is a file `configs/<volume>/<name>.py`. Its title is the first paragraph of the docstring
of the config file. The module that defines the type of the config gives the paper and the equation
(its docstring), the parts (its imports) and the tests (the test files that import it). A config
file adds constants:

    CLAIMS      claims that a run checks
    HEADLINE    metric of the claim that represents the entry; default: the first claim's
    ORACLE      independent implementation that its parity tests compare with
    PARAMETERS  parameter count of the paper's model

Files are parsed, not imported, so that listing them imports neither jax nor the systems.

Another package adds a volume by an entry point of the group `panorax.configs`. The name of the
entry point is the name of the volume; its value is the package with the config files:

    [project.entry-points."panorax.configs"]
    mine = "my_package.configs"

`panorax list` then shows `mine/<config>`, and every command takes it. A broken entry point is
reported on stderr and skipped.
"""

import ast
import functools
import importlib.util
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from panorax.core.config import GROUP
from panorax.core.errors import UserError
from panorax.core.names import nearest

VOLUMES = (
    "theory",
    "vision",
    "sequence",
    "graphs",
    "lm",
    "alignment",
    "serving",
    "quantisation",
    "generative",
    "three_d",
    "multimodal",
    "agents",
    "rl",
    "distributed",
    "hardware",
)
BENCH = "bench"


@dataclass(frozen=True)
class Entry:
    """One config file."""

    name: str
    """volume and file, such as "lm/llama\""""
    path: Path
    """the config file"""
    title: str
    """first paragraph of the docstring of the config file"""
    config: str
    """module of the config file, such as "panorax.configs.lm.llama\""""
    module: str
    """module that defines the type of the config: its system, study or comparison"""
    literals: dict[str, Any]
    """values of the file's literal constants by name, such as ORACLE, PARAMETERS and HEADLINE"""

    @property
    def volume(self) -> str:
        """Name of the volume, such as "lm"."""
        return self.name.partition("/")[0]

    @property
    def is_own(self) -> bool:
        """True for an entry of Panorax, False for an entry of another package."""
        return self.volume in (*VOLUMES, BENCH)

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
        """Modules of networks, mathematics and data that the module imports, also indirectly."""
        rooms = ("ops", "nets", "maths", "data", "interop", self.volume)
        used = closure(self.module) - {self.module}
        return tuple(sorted(name for name in used if (*name.split("."), "")[1] in rooms))

    @property
    def tests(self) -> tuple[str, ...]:
        """Test files that import the module; none outside the source tree of Panorax."""
        if not self.is_own:
            return ()
        tree = self.path.parents[2]
        tests = (p for p in (tree / "tests").rglob("test_*.py") if self.module in imports(p))
        return tuple(sorted(str(p.relative_to(tree)) for p in tests))

    def result(self) -> dict | None:
        """The recorded result beside the file, None if it has not been measured."""
        path = self.path.with_suffix(".json")
        return json.loads(path.read_text()) if path.is_file() else None


def root() -> Path:
    """The folder of the config files of Panorax."""
    return _folder_of("panorax.configs")


@functools.cache
def entries() -> tuple[Entry, ...]:
    """Every system and study, volume by volume; volumes of other packages come last."""
    own = (entry for volume in VOLUMES for entry in _own(volume))
    return (*own, *registered())


@functools.cache
def benchmarks() -> tuple[Entry, ...]:
    """Every comparison with other libraries."""
    return _own(BENCH)


@functools.cache
def registered() -> tuple[Entry, ...]:
    """The entries of other packages. A broken entry point prints one line on stderr."""
    from importlib.metadata import entry_points

    volumes = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            if point.name in (*VOLUMES, BENCH, *volumes) or "/" in point.name:
                raise UserError(f"another volume has the name {point.name!r}")
            volumes[point.name] = folder(_folder_of(point.value), point.value, point.name)
        except Exception as error:  # another package can fail in any way
            line = UserError(f"entry point {point.name} = {point.value} of {GROUP}: {error}")
            print(f"panorax: {line}; it is skipped", file=sys.stderr)
    return tuple(entry for volume in volumes.values() for entry in volume)


def names() -> tuple[str, ...]:
    """The names of all systems and studies."""
    return tuple(entry.name for entry in entries())


def find(name: str) -> Entry:
    """The entry of a full name "lm/llama", or of "llama" if no other volume has a file "llama".

    Raises UserError, which suggests the nearest known name, for an unknown name.
    """
    exact = [entry for entry in entries() if entry.name == name]
    short = [entry for entry in entries() if entry.name.partition("/")[2] == name.replace("-", "_")]
    if len(matches := exact or short) == 1:
        return matches[0]
    known = (*names(), *(n.partition("/")[2] for n in names()))
    raise UserError(
        f"unknown system or config {name!r}{nearest(name, known)}; "
        "`panorax list` shows all, or give a .py file"
    )


def _own(volume: str) -> tuple[Entry, ...]:
    return folder(root() / volume, f"panorax.configs.{volume}", volume)


def _folder_of(package: str) -> Path:
    """The folder of a package, located without import. Raises UserError if there is no package."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"there is no package {package}")
    return Path(spec.submodule_search_locations[0])


def folder(path: Path, package: str, volume: str) -> tuple[Entry, ...]:
    """The entries of the config files in the folder `path` of `package`."""
    files = sorted(p for p in path.glob("*.py") if p.name != "__init__.py")
    return tuple(read(file, f"{volume}/{file.stem}", f"{package}.{file.stem}") for file in files)


def read(path: Path, name: str, module: str) -> Entry:
    """The entry `name` of the config file `path`, whose dotted name is `module`.

    Raises UserError unless get_config() is annotated with a type that the file imports.
    """
    tree = _tree(path)
    package = module.rpartition(".")[0]
    source = lambda node: importlib.util.resolve_name(
        "." * node.level + (node.module or ""), package
    )
    imported = {
        alias.asname or alias.name: source(node)
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    returned = [
        ast.unparse(node.returns)
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name == "get_config" and node.returns
    ]
    if not returned or returned[0] not in imported:
        raise UserError(
            f"{path}: get_config() must return a Config that the file imports: "
            "`def get_config() -> Config`"
        )
    title = title_of(ast.get_docstring(tree) or name)
    return Entry(name, path, title, module, imported[returned[0]], dict(_literals(tree)))


def title_of(docstring: str) -> str:
    """The first paragraph of a docstring in one line, without the last full stop."""
    return " ".join(docstring.strip().partition("\n\n")[0].split()).rstrip(".")


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
    """The file of a module; for a module of Panorax, no package is imported."""
    package, *rest = module.split(".")
    if package != "panorax":
        spec = importlib.util.find_spec(module)
        if spec is None or not spec.origin:
            raise UserError(f"there is no module {module}")
        return Path(spec.origin)
    room, *rest = rest or ["__init__"]
    base = root() if room == "configs" else Path(__file__).parent / room
    path = base.joinpath(*rest)
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@functools.cache
def imports(path: Path) -> frozenset[str]:
    """Modules of Panorax that a file imports, at its top or inside functions."""
    is_own = lambda name: name.partition(".")[0] == "panorax"
    names = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and is_own(node.module or ""):
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in below if source_of(name).is_file()}
            names |= modules | ({node.module} if modules != below else set())
    return frozenset(filter(is_own, names))


def closure(module: str) -> set[str]:
    """`module` and the modules of Panorax that it imports, directly or through others."""
    modules, todo = set(), [module]
    while todo:
        if (name := todo.pop()) not in modules and source_of(name).is_file():
            modules.add(name)
            todo += imports(source_of(name))
    return modules
