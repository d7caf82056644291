"""The rules of WRITING and of structure that can be read off the syntax trees."""

import ast
import re
from pathlib import Path

import pytest

from panorax import catalogue

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    path
    for folder in ("src", "configs", "pallas_kernels")
    for path in (ROOT / folder).rglob("*.py")
)
TREES = {path: ast.parse(path.read_text()) for path in SOURCES}
STUDIES = sorted(
    {
        path
        for entry in catalogue.entries()
        if entry.is_study
        for path in (
            entry.source.parent.glob("*.py") if entry.source.stem == "study" else [entry.source]
        )
    }
)
# A function that may return four values: the update that every training step unpacks.
FOUR_VALUES = {"update"}
# Functions that apply updates by hand, with their reason.
OWN_UPDATES = {
    "core/step.py": "the one update",
    "distributed/data_parallel.py": "the documented example of pmap",
    "distributed/tensor_parallel.py": "updates parameters that are split by hand",
    "maths/optimisation/kfac.py": "measures the reduction ratio of a step; wraps a transformation",
    "theory/optimizers.py": "draws the path of a point in the plane",
}
relative = lambda path: str(path.relative_to(ROOT))


def functions(tree):
    """Every function of a tree, nested ones included."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def own_returns(function):
    """The return statements of a function, without those of functions nested in it."""
    todo = list(function.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Return):
            yield node
        if not isinstance(node, (ast.FunctionDef, ast.Lambda, ast.ClassDef)):
            todo += ast.iter_child_nodes(node)


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_no_function_returns_more_than_three_unnamed_values(path):
    many = [
        f"{function.name}, line {node.lineno}"
        for function in functions(TREES[path])
        for node in own_returns(function)
        if isinstance(node.value, ast.Tuple) and len(node.value.elts) > 3
    ]
    assert [name for name in many if name.split(",")[0] not in FOUR_VALUES] == []


@pytest.mark.parametrize("path", STUDIES, ids=relative)
def test_metrics_of_a_study_have_literal_names(path):
    """No f-string is a key of what is called metrics: `core.study.family` names a family."""
    keys = []
    for node in ast.walk(TREES[path]):
        if isinstance(node, (ast.Assign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any("metrics" in ast.unparse(target) for target in targets):
                keys += [x for target in targets for x in subscripts(target)] + keys_in(node.value)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "Result" and node.args:
            keys += keys_in(node.args[0])
        elif isinstance(node, ast.FunctionDef) and "metrics" in node.name:
            keys += keys_in(node)
    assert [ast.unparse(key) for key in keys if isinstance(key, ast.JoinedStr)] == []


def subscripts(target):
    return [node.slice for node in ast.walk(target) if isinstance(node, ast.Subscript)]


def keys_in(tree):
    """Keys of the dicts that are written out in a tree."""
    dicts = [key for node in ast.walk(tree) if isinstance(node, ast.Dict) for key in node.keys]
    return dicts + [node.key for node in ast.walk(tree) if isinstance(node, ast.DictComp)]


@pytest.mark.parametrize("path", STUDIES, ids=relative)
def test_functions_of_a_study_are_short(path):
    long = [f.name for f in functions(TREES[path]) if f.end_lineno - f.lineno >= 60]
    assert long == []


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_figures_are_made_by_core_figures_in_functions_that_draw(path):
    if path.name == "figures.py":
        return
    assert "from matplotlib.figure" not in path.read_text()
    drawing = {
        function.name
        for function in functions(TREES[path])
        for node in own_calls(function)
        if ast.unparse(node.func) in ("figures.panels", "figures.blank", "figures.pictures")
    }
    assert [name for name in drawing if not name.lstrip("_").startswith(("draw", "curves"))] == []


def own_calls(function):
    """The calls in a function, without those in functions nested in it."""
    todo = list(function.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Call):
            yield node
        if not isinstance(node, (ast.FunctionDef, ast.Lambda, ast.ClassDef)):
            todo += ast.iter_child_nodes(node)


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_parameters_are_updated_by_the_one_update(path):
    module = str(path.relative_to(ROOT)).removeprefix("src/panorax/")
    by_hand = re.search(r"\bapply_updates\(|\btx\.update\(", path.read_text())
    assert not by_hand or module in OWN_UPDATES


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_every_field_of_a_config_has_a_doc_that_stands_alone(path):
    """A field that overrides a documented field of a class above it in the file needs none."""
    documented = set()
    for node in TREES[path].body:
        if not (isinstance(node, ast.ClassDef) and is_checked(node)):
            continue
        for field, after in zip(node.body, [*node.body[1:], None]):
            if not isinstance(field, ast.AnnAssign) or is_part(field):
                continue
            name = field.target.id
            doc = after.value.value if isinstance(after, ast.Expr) else ""
            assert isinstance(doc, str) and (doc or name in documented), f"{name} has no doc"
            documented.add(name)
            first = doc.split()[0].lower() if doc else ""
            assert first not in ("of", "in", "what", "that", "those", "whether", "where"), doc


MEASURED = re.compile(
    r"\b\d[\d.,]*\s*(ms|s|seconds?|minutes?|hours?)\b|\d\s*%"
    r"|\b(half an?|an?|two|three|four|five|six|seven|eight|nine|ten)\s+(minutes?|hours?)\b"
)


@pytest.mark.parametrize(
    "path",
    [p for p in SOURCES if {"bench", "engine", "configs"} & {p.parent.name, p.parents[1].name}],
    ids=relative,
)
def test_times_and_shares_are_read_from_records_and_not_written_in_docstrings(path):
    """A docstring that states a measured time differs from the next record."""
    docs = [ast.get_docstring(TREES[path]) or ""]
    docs += [ast.get_docstring(function) or "" for function in functions(TREES[path])]
    assert [m.group() for doc in docs for m in MEASURED.finditer(doc)] == []


def is_checked(node: ast.ClassDef) -> bool:
    return any(ast.unparse(decorator) == "checked" for decorator in node.decorator_list)


def is_part(field: ast.AnnAssign) -> bool:
    """True for a nested config, whose own fields have docs."""
    return bool(re.search(r"Config|Optimizer|Run|Model|Policy|Text|Images", ast.unparse(field)))
