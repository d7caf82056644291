import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorax.core import config
from panorax.core.errors import UserError
from panorax.lm.llama import Config, Model

DEFAULT = Config()


def test_override_sets_typed_leaves():
    cfg = config.override(DEFAULT, ["--model.n-layers", "3", "--model.tied", "False", "--data.path", "x", "--optim.peak_lr=0.5"])
    assert (cfg.model.n_layers, cfg.model.tied, cfg.data.path, cfg.optim.peak_lr) == (3, False, "x", 0.5)


@pytest.mark.parametrize(
    "args, message",
    [
        (["--model.n-layer", "3"], "unknown option --model.n-layer; did you mean '--model.n-layers'?"),
        (["--model.n-layers", "three"], "--model.n-layers: invalid literal for int"),
        (["--model.n-layers"], "--model.n-layers"),
        (["--model.dtype", "float8"], "invalid choice 'float8'"),
        (["--model.n-heads", "3"], "must be an even multiple of model.n-heads 3"),
        (["stray"], "stray"),
    ],
)
def test_a_wrong_override_is_one_line(args, message):
    with pytest.raises(UserError) as error:
        config.override(DEFAULT, args)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_json_imports_nothing_foreign():
    with pytest.raises(UserError, match="configs come from panorax, not from antigravity"):
        config.from_json('{"type": "antigravity:Config"}')


@given(st.integers(1, 9), st.booleans(), st.one_of(st.none(), st.text()), st.floats(0.01, 1.0))
def test_json_round_trip(n, tied, path, rate):
    cfg = dataclasses.replace(
        DEFAULT,
        model=Model(n_layers=n, tied=tied),
        data=dataclasses.replace(DEFAULT.data, path=path),
        optim=dataclasses.replace(DEFAULT.optim, peak_lr=rate),
    )
    assert config.from_json(config.to_json(cfg)) == cfg


@pytest.mark.parametrize("text", ["", "{}", "[1, 2]x", '{"type": "os:system"}', '{"type": "panorax.lm.llama:Config", "nothing": 1}'])
def test_json_of_something_else_is_refused(text):
    with pytest.raises(UserError):
        config.from_json(text)


def test_leaves_names_every_option():
    names = config.leaves(DEFAULT)
    assert names["model.n-layers"] == DEFAULT.model.n_layers and "run.seed" in names and "batch" in names


@pytest.mark.parametrize(
    "text, message",
    [("raise KeyError('k')", "KeyError"), ("x = 1", "no get_config"), ("def get_config(:", "SyntaxError")],
)
def test_a_broken_config_file_is_one_line(tmp_path, text, message):
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(UserError, match=message):
        config.load(str(file), ())


def test_unknown_names_get_the_nearest():
    with pytest.raises(UserError, match="did you mean 'lm/llama'"):
        config.load("lm/lama", ("lm/llama", "rl/ppo"))
    with pytest.raises(UserError, match="does not exist"):
        config.load("nowhere.py", ())
