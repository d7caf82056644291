"""The catalogue is read off the files: one more config file is one more entry, and nothing else is edited."""

import shutil

import pytest

from panorax import catalogue, readme
from panorax.core.errors import UserError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of configs of its own, in place of the tree's."""
    shutil.copytree(catalogue.root() / "rl", tmp_path / "rl")
    monkeypatch.setattr(catalogue, "root", lambda: tmp_path)
    caches = (catalogue.entries, catalogue.benchmarks, catalogue.source_of)
    for cached in caches:
        cached.cache_clear()
    yield tmp_path / "rl"
    monkeypatch.undo()
    for cached in caches:
        cached.cache_clear()


def test_a_new_file_is_a_new_entry(folder):
    before = catalogue.names()
    text = (folder / "ppo_memory.py").read_text()
    (folder / "mine.py").write_text(text + '\nHEADLINE = "eval_return"\nPARAMETERS = 12\n')
    catalogue.entries.cache_clear()
    assert set(catalogue.names()) - set(before) == {"rl/mine"}
    entry = catalogue.find("mine")
    assert entry.module == "panorax.rl.ppo" and not entry.is_study and entry.result() is None
    assert entry.literals["HEADLINE"] == "eval_return" and entry.literals["PARAMETERS"] == 12
    assert "`rl/mine`" in readme.page("rl", [entry])


def test_a_config_whose_type_is_not_imported_is_one_line(folder):
    (folder / "mine.py").write_text("def get_config():\n    return 1\n")
    catalogue.entries.cache_clear()
    with pytest.raises(
        UserError, match=r"mine.py: get_config\(\) must return a Config that the file imports"
    ):
        catalogue.entries()


def test_an_entry_knows_its_paper_parts_and_tests():
    entry = catalogue.find("lm/llama")
    assert "cross entropy" in entry.about
    assert {"panorax.nets.decoders.llama", "panorax.ops.attention", "panorax.data.text"} <= set(
        entry.parts
    )
    assert "tests/lm/test_language_model.py" in entry.tests


@pytest.mark.parametrize(
    "name, meant", [("llama", "lm/llama"), ("data-parallel", "distributed/data_parallel")]
)
def test_a_short_name_is_enough(name, meant):
    assert catalogue.find(name).name == meant


def test_a_name_that_is_not_there_gets_the_nearest():
    with pytest.raises(
        UserError, match="unknown system or config 'rl/pppo'; did you mean 'rl/ppo'"
    ):
        catalogue.find("rl/pppo")
