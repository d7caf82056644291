"""The source files of Panorax: which modules a file imports, and a digest of what a run reaches.

Files are parsed, not imported.
"""

import ast
import functools
import hashlib
import importlib.util
import re
from pathlib import Path

from panorax.core.errors import UserError

# The names by which the engine calls a config, a system, a study, a comparison and core.step.
ENTRANCES = frozenset(
    ("get_config", "system", "study", "benchmark", "keys_of", "scan_steps", "stacked", "evaluated")
)
STEP = "panorax.core.step"
OWN = ("panorax", "pallas_kernels")  # packages of this source tree
# Modules that check input, raise errors, draw or write files: they change no number.
WITHOUT_NUMBERS = frozenset(
    f"panorax.core.{name}" for name in ("errors", "figures", "files", "names", "ranges")
)


@functools.cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def folder_of(package: str) -> Path:
    """The folder of a package, located without import. Raises UserError if there is no package."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"there is no package {package}")
    return Path(spec.submodule_search_locations[0])


@functools.cache
def source_of(module: str) -> Path:
    """The file of a module; for a module of Panorax or a kernel, no package is imported."""
    package, *rest = module.split(".")
    if package not in OWN:
        spec = importlib.util.find_spec(module)
        if spec is None or not spec.origin:
            raise UserError(f"there is no module {module}")
        return Path(spec.origin)
    if package == "pallas_kernels":
        base = folder_of(package)
    elif rest[:1] == ["configs"]:
        base, rest = folder_of("panorax.configs"), rest[1:]
    else:
        base = Path(__file__).parents[1]
    path = base.joinpath(*(rest or ["__init__"]))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@functools.cache
def imports(path: Path) -> frozenset[str]:
    """Modules of Panorax and kernels that a file imports, at its top or inside functions.

    A text `module:function` imports the module, as a process that is given the text does.
    """
    is_own = lambda name: name.partition(".")[0] in OWN
    names = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and is_own(node.module or ""):
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in below if source_of(name).is_file()}
            names |= modules | ({node.module} if modules != below else set())
        elif isinstance(node, ast.Constant) and _names_a_function(node.value):
            names.add(node.value.partition(":")[0])
    return frozenset(filter(is_own, names))


def _names_a_function(value) -> bool:
    """True for the text `module:` or `module:function` of a module of Panorax."""
    if not isinstance(value, str) or not re.fullmatch(r"panorax(\.\w+)+:\w*", value):
        return False
    return source_of(value.partition(":")[0]).is_file()


def closure(*modules: str) -> set[str]:
    """`modules` and the own modules that they import, directly or through others."""
    reached, todo = set(), list(modules)
    while todo:
        if (name := todo.pop()) not in reached and source_of(name).is_file():
            reached.add(name)
            todo += imports(source_of(name))
    return reached


@functools.cache
def digest(*files: Path) -> str:
    """Identifies the definitions that a run of these files reaches, in 16 hexadecimal digits.

    files: the config file, and the module that defines the type of its config.
    The definitions are the top-level statements of the files and of the modules of Panorax that
    they import. A definition is reached if ENTRANCES has its name, or if a reached statement of its
    file, or of a file that imports its module, mentions its name. Docstrings, comments, formatting,
    claims, smoke sizes, functions that draw, WITHOUT_NUMBERS and the engine change nothing.
    """
    modules = closure(STEP, *(name for path in files for name in imports(path))) - WITHOUT_NUMBERS
    paths = [*files, *(path for path in map(source_of, sorted(modules)) if path not in files)]
    visible = {path: {path, *map(source_of, imports(path))} for path in paths}
    mentions = {path: set(ENTRANCES) for path in paths}
    waiting = [(path, *statement) for path in paths for statement in _statements(path)]
    reached, before = set(), None
    while before != len(waiting):
        before, unreached = len(waiting), []
        for path, defined, mentioned, code in waiting:
            if defined and defined.isdisjoint(mentions[path]):
                unreached.append((path, defined, mentioned, code))
                continue
            reached.add(code)
            for below in visible[path] & mentions.keys():
                mentions[below] |= mentioned
        waiting = unreached
    return hashlib.sha256("\n".join(sorted(reached)).encode()).hexdigest()[:16]


@functools.cache
def _statements(path: Path) -> tuple[tuple[frozenset, frozenset, str], ...]:
    """(names that it defines, names that it mentions, digest) of each top-level statement.

    A statement that defines no name, such as a call, is always reached. An import defines the name
    in this file and mentions the name in the other. Functions that draw are left out.
    """
    statements = []
    for node in parsed(path).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                there = alias.name.rpartition(".")[2]
                here = alias.asname or there
                code = "" if here == there else f"{there} as {here}"
                statements.append((frozenset({here}), frozenset({there}), code))
        elif not (_is_prose(node) or _draws(node)):
            code = hashlib.sha256(repr(_content(node)).encode()).hexdigest()
            statements.append((_defined(node), _mentioned(node), code))
    return tuple(statements)


def _is_prose(node: ast.AST) -> bool:
    """True for a docstring of a module, class, function or field."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _draws(node: ast.AST) -> bool:
    """True for a function that only makes a figure: `draw...` with `core.figures` or an axis."""
    return (
        isinstance(node, ast.FunctionDef)
        and node.name.lstrip("_").startswith("draw")
        and ("figures" in _mentioned(node) or "ax" in {arg.arg for arg in node.args.args})
    )


def _defined(node: ast.AST) -> frozenset[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return frozenset({node.name})
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return frozenset(x.id for t in targets for x in ast.walk(t) if isinstance(x, ast.Name))
    return frozenset()


def _mentioned(node: ast.AST) -> frozenset[str]:
    """Names, attributes, and words of strings, which may name a function: `module:function`."""
    names = set()
    for x in ast.walk(node):
        if isinstance(x, ast.Name):
            names.add(x.id)
        elif isinstance(x, ast.Attribute):
            names.add(x.attr)
        elif isinstance(x, ast.Constant) and isinstance(x.value, str) and " " not in x.value:
            names |= {x.value, x.value.rpartition(":")[2]}
    return frozenset(names)


def _content(node):
    """A syntax tree as nested tuples, the same for every version of Python that is served."""
    if isinstance(node, ast.AST):
        fields = [(name, x) for name, x in ast.iter_fields(node) if name != "ctx"]
        filled = ((name, _content(x)) for name, x in fields if x is not None and x != [])
        return (type(node).__name__, *filled)
    if isinstance(node, list):
        return tuple(_content(x) for x in node if not (isinstance(x, ast.AST) and _is_prose(x)))
    return repr(node)
