"""The commit that a result names."""

import importlib.metadata
import json
import subprocess
from types import SimpleNamespace

import pytest

from panorax.engine import provenance


def git(folder, *args):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", "-C", folder, *identity, *args], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def file(tmp_path, monkeypatch):
    """The place of provenance.py in a repository of a user that holds an environment."""
    file = tmp_path / "env" / "site" / "panorax" / "engine" / "provenance.py"
    file.parent.mkdir(parents=True)
    file.write_text("")
    (tmp_path / "mine.txt").write_text("a")
    git(tmp_path, "init")
    git(tmp_path, "add", "mine.txt")
    git(tmp_path, "commit", "-m", "mine")
    monkeypatch.setattr(provenance, "__file__", str(file))
    return file


def test_a_repository_around_the_environment_is_not_the_commit(file, monkeypatch):
    origin = json.dumps({"vcs_info": {"commit_id": "0123456789abcdef"}})
    for text, commit in ((None, "unknown"), ('{"url": "x"}', "unknown"), (origin, "0123456789ab")):
        installed = SimpleNamespace(read_text=lambda name: text)
        monkeypatch.setattr(importlib.metadata, "distribution", lambda name: installed)
        assert provenance.commit() == commit


def test_the_commit_of_a_source_tree_has_a_plus_if_it_has_changed(file, tmp_path):
    git(tmp_path, "add", str(file))
    git(tmp_path, "commit", "-m", "panorax")
    assert provenance.commit() == git(tmp_path, "rev-parse", "--short=12", "HEAD")
    file.write_text("changed")
    assert provenance.commit().endswith("+")
