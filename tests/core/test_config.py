import dataclasses
import importlib.metadata
import io
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorax.core import config
from panorax.core.errors import UserError
from panorax.core.optim import AdamW, Muon
from panorax.data.text import Text
from panorax.lm.language_model import Config
from panorax.nets.decoders import qwen
from panorax.nets.decoders.llama import Model

DEFAULT = Config()


def test_override_sets_typed_leaves():
    cfg = config.override(
        DEFAULT,
        "--model.n-layers 3 --model.tied False --data.path x --optim.peak_lr=0.5".split(),
    )
    assert cfg.model.n_layers == 3 and not cfg.model.tied
    assert cfg.data.path == "x" and cfg.optim.peak_lr == 0.5


@pytest.mark.parametrize(
    "args, message",
    [
        (
            ["--model.n-layer", "3"],
            "unknown option --model.n-layer; did you mean '--model.n-layers'?",
        ),
        (["--model.n-layers", "1e3"], "--model.n-layers: expected a whole number, got '1e3'"),
        (["--optim.peak-lr", "1,0"], "--optim.peak-lr: expected a number, got '1,0'"),
        (["--optim.peak-lr=a: b"], "--optim.peak-lr: expected a number, got 'a: b'"),
        (["--model.n-layers"], "--model.n-layers needs a value"),
        (["--run.seed", "-1"], "--run.seed must be at least 0 and below 2^31, got -1"),
        (["--batch", "0"], "--batch must be at least 1 and below 2^31, got 0"),
        (["--optim", "sgd", "--optim.momentum=1"], "--optim.momentum must be at least 0 and"),
        (["--data.held-out", "1"], "--data.held-out must lie between 0 and 1, got 1.0"),
        (["--model.dtype", "float8"], "invalid choice 'float8'"),
        (["--model.n-heads", "3"], "must be an even multiple of model.n-heads 3"),
        (["--model.n-layers", "1", "--model.windows", "8", "0"], "has 2 windows for 1 layers"),
        (["stray"], "stray"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_wrong_override_is_one_line(monkeypatch, args, message, encoding):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding))
    with pytest.raises(UserError) as error:
        config.override(DEFAULT, args)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert "helptext" not in str(error.value)


def test_a_part_is_chosen_by_name_and_then_has_its_own_options():
    cfg = config.override(
        DEFAULT,
        ["--optim", "muon", "--optim.adam-lr", "0.1", "--model=qwen", "--model.head-norm", "False"],
    )
    assert (
        cfg.optim == Muon(adam_lr=0.1) and type(cfg.model) is qwen.Model and not cfg.model.head_norm
    )
    tuned = dataclasses.replace(DEFAULT, optim=AdamW(peak_lr=0.7))
    assert config.override(tuned, ["--optim", "adamw"]) == tuned


@pytest.mark.parametrize("args", [["--optim", "adamv"], ["--optim=adamv"]])
def test_an_unknown_part_is_one_line(args):
    with pytest.raises(
        UserError, match="--optim is one of adamw, sgd, .*, got 'adamv'; did you mean 'adamw'"
    ):
        config.override(DEFAULT, args)


def test_a_config_of_an_earlier_version_names_that_version():
    with pytest.raises(
        UserError,
        match=r"was written by panorax 0.1; panorax .* cannot read it: .*panorax.lm.llama",
    ):
        config.from_json('{"type": "panorax.lm.llama:Config"}')


def test_json_imports_no_module_outside_panorax():
    with pytest.raises(UserError, match="in the module antigravity, which is not imported"):
        config.from_json('{"type": "antigravity:Config"}')
    assert "antigravity" not in sys.modules


def test_a_package_with_an_entry_point_is_imported_for_its_configs(tmp_path, monkeypatch):
    (tmp_path / "their_package").mkdir()
    text = (
        "import dataclasses\n\n@dataclasses.dataclass(frozen=True)\nclass Config:\n    n: int = 1\n"
    )
    (tmp_path / "their_package" / "system.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    written = '{"panorax": "0.2", "type": "their_package.system:Config", "n": 3}'
    with pytest.raises(UserError, match="not imported; --config FILE.py names the config file"):
        config.from_json(written)
    point = importlib.metadata.EntryPoint("theirs", "their_package.configs", config.GROUP)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [point])
    cfg, _ = config.from_json(written)
    assert cfg.n == 3


@given(st.integers(1, 9), st.booleans(), st.one_of(st.none(), st.text()), st.floats(0.01, 1.0))
def test_json_round_trip(n, tied, path, rate):
    cfg = dataclasses.replace(
        DEFAULT,
        model=Model(n_layers=n, tied=tied),
        data=dataclasses.replace(DEFAULT.data, path=path),
        optim=dataclasses.replace(DEFAULT.optim, peak_lr=rate),
    )
    assert config.from_json(config.to_json(cfg, mesh="data=2")) == (cfg, {"mesh": "data=2"})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1, 2]x",
        '{"type": "os:system"}',
        "null",
        "[]",
        "5",
        b"\xff\x00\x80",
        "[" * 100_000,
        '{"type": "panorax.lm.language_model:Config", "nothing": 1}',
    ],
)
def test_invalid_json_is_refused(text):
    with pytest.raises(UserError):
        config.from_json(text)


def test_differences_name_options_and_paths_of_one_file_are_equal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts").mkdir()
    read = lambda path: dataclasses.replace(DEFAULT, data=Text(path=path))
    for same in ("texts", "./texts", str(tmp_path / "texts")):
        assert config.differences(read("texts/"), read(same)) == {}
    assert config.differences(read("texts/"), read(os.devnull)) == {
        "data.path": ("texts/", os.devnull)
    }
    other = dataclasses.replace(DEFAULT, optim=Muon())
    assert config.differences(DEFAULT, other)["optim.adam-lr"] == (None, Muon().adam_lr)


def test_leaves_names_every_option():
    names = config.leaves(DEFAULT)
    assert (
        names["model.n-layers"] == DEFAULT.model.n_layers
        and "run.seed" in names
        and "batch" in names
    )


@pytest.mark.parametrize(
    "text, message",
    [
        ("raise KeyError('k')", "KeyError"),
        ("x = 1", "no get_config"),
        ("def get_config(:", "SyntaxError"),
    ],
)
def test_a_broken_config_file_is_one_line(tmp_path, text, message):
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(UserError, match=message):
        config.load_file(file)


def test_a_missing_file_is_one_line():
    with pytest.raises(UserError, match="does not exist"):
        config.load_file(Path("nowhere.py"))
