"""The catalogue is read from files: a new config file is a new entry, and no list is edited."""

import importlib
import shutil
import sys

import pytest

from panorax import catalogue, cli, readme
from panorax.commands import experiment
from panorax.core.errors import UserError

CACHES = (
    catalogue.entries,
    catalogue.benchmarks,
    catalogue.registered,
    catalogue.source_of,
)


def forget():
    for cached in CACHES:
        cached.cache_clear()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of the configs of `rl` as the only volume."""
    shutil.copytree(catalogue.root() / "rl", tmp_path / "rl")
    monkeypatch.setattr(catalogue, "root", lambda: tmp_path)
    forget()
    yield tmp_path / "rl"
    monkeypatch.undo()
    forget()


def test_a_new_file_is_a_new_entry(folder):
    before = catalogue.names()
    text = (folder / "ppo_memory.py").read_text()
    (folder / "mine.py").write_text(text + '\nHEADLINE = "eval_return"\nPARAMETERS = 12\n')
    forget()
    assert set(catalogue.names()) - set(before) == {"rl/mine"}
    entry = catalogue.find("mine")
    assert entry.module == "panorax.rl.ppo" and not entry.is_study and entry.result() is None
    assert entry.literals["HEADLINE"] == "eval_return" and entry.literals["PARAMETERS"] == 12
    assert "`rl/mine`" in readme.page("rl", [entry])


def test_a_config_with_a_type_that_is_not_imported_is_one_line(folder):
    (folder / "mine.py").write_text("def get_config():\n    return 1\n")
    forget()
    with pytest.raises(
        UserError, match=r"mine.py: get_config\(\) must return a Config that the file imports"
    ):
        catalogue.entries()


def test_an_entry_has_a_paper_parts_and_tests():
    entry = catalogue.find("lm/llama")
    assert "next token" in entry.about
    assert {"panorax.nets.decoders.llama", "panorax.ops.attention", "panorax.data.text"} <= set(
        entry.parts
    )
    assert "tests/lm/test_language_model.py" in entry.tests


@pytest.mark.parametrize(
    "docstring, title",
    [
        ("PPO on CartPole.", "PPO on CartPole"),
        ("PPO on CartPole,\nbeside DQN.\n\nCommand: x.", "PPO on CartPole, beside DQN"),
    ],
)
def test_the_title_is_the_first_paragraph_in_one_line(docstring, title):
    assert catalogue.title_of(docstring) == title


def test_titles_of_the_tree_are_whole_lines():
    for entry in (*catalogue.entries(), *catalogue.benchmarks()):
        assert "\n" not in entry.title and "Command" not in entry.title, entry.name


@pytest.mark.parametrize(
    "name, meant", [("llama", "lm/llama"), ("data-parallel", "distributed/data_parallel")]
)
def test_a_short_name_is_enough(name, meant):
    assert catalogue.find(name).name == meant


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(
        UserError, match="unknown system or config 'rl/pppo'; did you mean 'rl/ppo'"
    ):
        catalogue.find("rl/pppo")


STUDY = '''"""A study of another package."""

import dataclasses

from panorax.core.state import Result


@dataclasses.dataclass(frozen=True)
class Config:
    seed: int = 0


def study(cfg):
    return {"one": lambda key: Result({"x": 1.0})}
'''
CONFIG = '''"""A config of another package."""

from .constants import Config


def get_config() -> Config:
    return Config()
'''


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a distribution with a study and a config, and the given entry points."""
    package = tmp_path / "theirs" / "configs"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text("")
    (package.parent / "measured.py").write_text(STUDY)
    (package / "__init__.py").write_text("")
    (package / "constants.py").write_text(CONFIG.replace(".constants", "theirs.measured"))
    (package / "memory.py").write_text((catalogue.root() / "rl" / "ppo_memory.py").read_text())
    monkeypatch.syspath_prepend(tmp_path)

    def with_entry_points(*points):
        info = tmp_path / "theirs-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("\n".join(["[panorax.configs]", *points, ""]))
        importlib.invalidate_caches()
        forget()
        return package

    yield with_entry_points
    monkeypatch.undo()
    forget()
    for name in [name for name in sys.modules if name.split(".")[0] == "theirs"]:
        del sys.modules[name]


def test_an_entry_point_adds_a_volume_without_importing_it(install, capsys):
    own = catalogue.names()
    install("mine = theirs.configs")
    assert catalogue.names() == (*own, "mine/constants", "mine/memory")
    assert "theirs.configs" not in sys.modules and "mine" not in readme.volumes()
    entry = catalogue.find("memory")
    assert (entry.module, entry.tests, entry.is_own) == ("panorax.rl.ppo", (), False)
    assert "panorax.ops.returns" in entry.parts
    assert cli.main(["list"]) == 0 and "\nmine/memory" in capsys.readouterr().out
    assert cli.main(["plan", "mine/memory"]) == 0


def test_a_study_of_another_package_runs_and_is_recorded(install, tmp_path, capsys):
    package = install("mine = theirs.configs")
    run = ["run", "mine/constants", "--workdir", str(tmp_path / "run"), "--record"]
    assert cli.main(run) == 0 and (package / "constants.json").is_file()
    assert cli.main(["show", "constants"]) == 0
    assert "A study of another package" in capsys.readouterr().out


def test_a_relative_import_names_the_type_of_a_config(install):
    package = install("mine = theirs.configs")
    (package / "relative.py").write_text(CONFIG)
    entry = catalogue.read(package / "relative.py", "mine/relative", "theirs.configs.relative")
    assert entry.module == "theirs.configs.constants"


@pytest.mark.parametrize(
    "point, message",
    [
        ("mine = nothing.configs", "No module named 'nothing'"),
        ("mine = theirs.nothing", "there is no package theirs.nothing"),
        ("rl = theirs.configs", "another volume has the name 'rl'"),
        ("mine = theirs", "measured.py: get_config() must return a Config"),
    ],
)
def test_a_broken_entry_point_is_one_line_and_skipped(install, capsys, point, message):
    own = catalogue.names()
    install(point)
    assert catalogue.names() == own
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_config_of_another_package_that_fails_is_one_line(install, capsys):
    package = install("mine = theirs.configs")
    (package / "memory.py").write_text("import nothing\n" + CONFIG)
    assert cli.main(["run", "mine/memory"]) == 2
    error = capsys.readouterr().err
    assert "theirs.configs.memory fails: ModuleNotFoundError" in error and error.count("\n") == 1
    with pytest.raises(UserError):
        experiment.load("mine/memory")
