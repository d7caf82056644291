"""Rules that all files keep."""

import ast
import configparser
import importlib
import re
from collections import Counter
from pathlib import Path

import pytest

import pallas_kernels
from panorax import catalogue, readme
from panorax.core.claims import RELATIONS, Claim

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    [
        *(ROOT / "src").rglob("*.py"),
        *(ROOT / "pallas_kernels").rglob("*.py"),
        *(ROOT / "configs").rglob("*.py"),
    ]
)
PANORAX = ROOT / "src" / "panorax"
TREES = {path: ast.parse(path.read_text()) for path in SOURCES}
ENTRIES = {e.name: e for e in (*catalogue.entries(), *catalogue.benchmarks()) if e.is_own}

# A room imports from itself and from rooms above it; rooms on one line are independent.
ROOMS = (
    ("pallas_kernels",),
    ("core",),
    ("ops",),
    ("nets",),
    ("maths",),
    ("data",),
    ("parallel",),
    ("interop",),
    (*catalogue.VOLUMES, "engine"),
    ("testing",),
    ("bench",),
    ("configs",),
    ("catalogue",),
    ("commands", "readme"),
    ("cli",),
    ("__main__",),
)
FLOOR = {room: i for i, rooms in enumerate(ROOMS) for room in rooms}
BASE_SYSTEMS = {  # which others adapt, distil and align
    "panorax.lm.language_model",
    "panorax.alignment.sft",
}
STANDS_ON = {"alignment": "lm"}  # volumes that train the models of another volume
EXCEPTIONS = {
    ("panorax.bench.startup", "panorax.configs.lm.llama"): "measures start-up of this config",
}


def module_name(path):
    if path.is_relative_to(ROOT / "src"):
        parts = path.relative_to(ROOT / "src").with_suffix("").parts
    elif path.is_relative_to(ROOT / "configs"):
        parts = ("panorax", *path.relative_to(ROOT).with_suffix("").parts)
    else:
        parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in SOURCES}


def imports(path):
    """Modules of this repository that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {
                full if (full := f"{node.module}.{a.name}") in MODULES else node.module
                for a in node.names
            }
    return {name for name in names if name in MODULES}


def room(module):
    parts = module.split(".")
    return parts[0] if parts[0] != "panorax" else parts[1] if len(parts) > 1 else "core"


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_run_one_way(path):
    importer = module_name(path)
    for name in imports(path):
        assert (
            room(name) == room(importer)
            or FLOOR[room(name)] < FLOOR[room(importer)]
            or STANDS_ON.get(room(importer)) == room(name)
            or (importer, name) in EXCEPTIONS
        ), name


@pytest.mark.parametrize(
    "entry", [e for e in ENTRIES.values() if e.volume != "bench"], ids=lambda e: e.name
)
def test_systems_and_studies_do_not_import_each_other(entry):
    others = {e.module for e in ENTRIES.values()} - {entry.module, *BASE_SYSTEMS}
    assert not [
        name for name in imports(entry.source) & others if (entry.module, name) not in EXCEPTIONS
    ]


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_a_file_is_short_and_has_a_docstring(path):
    assert len(path.read_text().splitlines()) <= 400
    assert path.name not in ("utils.py", "helpers.py", "misc.py", "common.py")
    assert ast.get_docstring(TREES[path]) or not path.read_text()


@pytest.mark.parametrize(
    "folder",
    sorted({path.parent for path in SOURCES if path.is_relative_to(PANORAX)}),
    ids=lambda p: p.name,
)
def test_a_folder_has_at_most_thirty_files(folder):
    assert len(list(folder.glob("*.py"))) <= 30


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_a_step_is_at_most_40_lines_and_has_no_transform(path):
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.FunctionDef) and node.name == "train_step":
            assert node.end_lineno - node.lineno < 40
            assert not re.search(r"\bjit\(|pmean|psum|print\(|open\(|module_of", ast.unparse(node))


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_is_complete(name):
    entry = ENTRIES[name]
    module = importlib.import_module(entry.module)
    config = importlib.import_module("panorax.configs." + name.replace("/", "."))
    assert type(config.get_config()).__module__ == entry.module
    assert all(isinstance(claim, Claim) for claim in getattr(config, "CLAIMS", ()))
    if entry.volume == "bench":
        return
    assert hasattr(module, "study") or {
        "Config",
        "loss_fn",
        "train_step",
        "evaluate",
        "system",
    } <= set(vars(module))
    assert type(config.smoke()).__module__ == entry.module and entry.tests
    assert entry.is_study or len(entry.source.read_text().splitlines()) <= 280
    assert entry.literals.get("HEADLINE") in {
        None,
        *(claim.metric for claim in getattr(config, "CLAIMS", ())),
    }


@pytest.mark.parametrize("name", ENTRIES)
def test_a_recorded_result_has_the_claims_of_its_config(name):
    claims = getattr(
        importlib.import_module("panorax.configs." + name.replace("/", ".")), "CLAIMS", ()
    )
    result = ENTRIES[name].result()
    if result is None:
        assert ENTRIES[name].literals.get("BACKEND") == "gpu" or not claims
        return
    assert result["config"] == name
    assert not result["commit"].endswith("+") and re.fullmatch("[0-9a-f]{16}", result["sources"])
    assert None not in result["metrics"].values()
    rounded = lambda x: float(f"{x:.6g}")  # as the metrics of a record
    judged = [claim.check(result["metrics"]) for claim in claims]
    assert [(v.claim, v.source) for v in judged] == [
        (v["claim"], v["source"]) for v in result["claims"]
    ], "run `panorax records --judge`"
    for verdict, v in zip(judged, result["claims"], strict=True):
        kept = RELATIONS[v["claim"].split()[1]](v["measured"], v["bound"])
        assert v["kept"] == kept == verdict.kept, v["claim"]
        assert rounded(v["measured"]) == rounded(verdict.measured), v["claim"]
        assert rounded(v["bound"]) == rounded(verdict.bound), v["claim"]


def test_every_module_is_needed_by_an_entry_or_a_command():
    needed = {
        m for entry in ENTRIES.values() for m in catalogue.closure(entry.module)
    } | catalogue.closure("panorax.__main__")
    needed |= {"panorax.readme"} | {
        name
        for name in MODULES
        if room(name) in ("configs", "pallas_kernels", "interop", "bench", "testing")
    }
    assert (
        sorted(
            name
            for name, path in MODULES.items()
            if path.name != "__init__.py" and name not in needed
        )
        == []
    )


def test_every_module_has_a_test():
    """A test imports the module, or a tested module of the same room does."""
    tested = set().union(*(imports(path) for path in (ROOT / "tests").rglob("*.py")))
    for name in [*tested]:
        tested |= {used for used in imports(MODULES[name]) if room(used) == room(name)}
    for name in pallas_kernels.operations():  # tests/kernels walks all of them
        tested |= catalogue.closure(f"pallas_kernels.{name}.cases")
    named = {path.stem.removeprefix("test_") for path in (ROOT / "tests").rglob("test_*.py")}
    untested = {
        name
        for name, path in MODULES.items()
        if path.name != "__init__.py" and path.stem not in named
    }
    assert (
        sorted(
            name
            for name in untested - tested
            if room(name) not in ("configs", "bench", "commands", "__main__")
        )
        == []
    )


def test_an_operation_is_defined_once():
    public = lambda path: [
        n.name
        for n in TREES[path].body
        if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")
    ]
    operations = {name for path in SOURCES if path.parent.name == "ops" for name in public(path)}
    defined = Counter(
        node.name
        for name, path in MODULES.items()
        for node in TREES[path].body
        if isinstance(node, ast.FunctionDef)
        and node.name in operations
        and room(name) != "pallas_kernels"  # ops annotates the kernels' functions
    )
    assert {name: n for name, n in defined.items() if n > 1} == {}


def test_fewer_than_3_percent_of_lines_are_repeated():
    windows, total = Counter(), 0
    blocks = []
    for path in SOURCES:
        lines = [
            line.strip()
            for line in path.read_text().splitlines()
            if line.strip() and not line.strip().startswith(("#", "import", "from"))
        ]
        total += len(lines)
        blocks += [tuple(lines[i : i + 6]) for i in range(len(lines) - 5)]
    windows.update(blocks)
    repeated = sum(n - 1 for n in windows.values() if n > 1)
    assert repeated / total < 0.03


def test_every_package_is_installed():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = set(setup["options"]["packages"].split())
    assert listed == {module_name(path) for path in SOURCES if path.name == "__init__.py"}


@pytest.mark.parametrize(
    "folder",
    [
        p
        for p in sorted((ROOT / "tests").rglob("*"))
        if p.is_dir() and (PANORAX / p.relative_to(ROOT / "tests")).is_dir()
    ],
    ids=str,
)
def test_tests_mirror_the_source(folder):
    source = PANORAX / folder.relative_to(ROOT / "tests")
    tested = {
        p.stem.removeprefix("test_").removeprefix(f"{folder.name}_")
        for p in folder.glob("test_*.py")
    }
    modules = {p.stem for p in source.glob("*.py")} | {source.name}
    if folder.name != "bench":  # tests of bench are tests of Panorax's side of a comparison
        assert tested <= modules, f"{folder} tests what {source} does not have: {tested - modules}"


def test_names_of_test_files_are_unique():
    """pytest imports every test file by its name alone, and refuses a second one."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))


def test_the_pages_are_generated_from_the_catalogue():
    for path, text in readme.pages(ROOT).items():
        assert path.is_file() and path.read_text() == text, "run `python -m panorax.readme`"


def test_pictures_of_the_catalogue_are_small():
    for path in (ROOT / "configs").rglob("*.png"):
        assert path.stat().st_size < 100_000
