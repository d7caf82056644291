import pytest

from panorax.core import config
from panorax.core.errors import UserError
from panorax.rl import cql
from panorax.rl.environments import from_gymnasium, from_gymnax
from panorax.rl.offline import recorded


def parsed(*args):
    return config.override(cql.Config(), ["--data", "recorded", *args]).data


def test_the_environment_of_a_file_is_chosen_by_its_name_or_its_library():
    assert parsed("--data.environment", "Acrobot-v1", "--data.path", "x.npz") == recorded.Config(
        "x.npz", from_gymnax.Config("Acrobot-v1")
    )
    assert parsed("--data.environment=gymnasium").environment == from_gymnasium.Config()
    torques = ("--data.environment.values", "5", "--data.environment.name", "Pendulum-v1")
    assert parsed(*torques).environment == from_gymnax.Config("Pendulum-v1", values=5)
    assert recorded.environments(parsed("--data.environment", "probes"), 3).n == 3
    text = config.options_text(cql.Config(), ["--data", "recorded"])
    assert "--data.environment gymnax|gymnasium|probes|NAME (now" in " ".join(text.split())


@pytest.mark.parametrize(
    "args, words",
    [
        (
            ["--data.environment", "Acrobt-v1"],
            "--data.environment is one of gymnax, .*did you mean",
        ),
        (
            ["--data.environment.value", "5"],
            "unknown option --data.environment.value; did you mean",
        ),
        (["--data.agent", "expert"], "unknown option --data.agent"),
        (["--data.environment.values", "1"], "one value is no choice of actions"),
    ],
)
def test_a_wrong_choice_is_one_line(args, words):
    with pytest.raises(UserError, match=words):
        parsed(*args)
