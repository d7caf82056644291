"""Episodes of a run, as text and as a GIF."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from panorax import cli
from panorax.commands import play
from panorax.rl.environments import wrappers
from panorax.rl.environments.environment import Discrete, Environment, Observation, Step
from panorax.rl.play import FRAMES, draw_frames, player


def walk(length, picture):
    """Episodes of `length` steps, whose views count them and whose rewards are 0.5."""

    def step(key, time, action):
        after = Step(
            Observation(jnp.float32(time + 1)[None]),
            jnp.float32(0.5),
            time == length - 1,
            jnp.bool_(False),
        )
        return time + 1, after

    reset = lambda key: (jnp.int32(0), Observation(jnp.zeros(1)))
    return Environment(reset, step, (1,), Discrete(2), length + 3, picture)


def played(length, picture=lambda view: np.full((2, 2, 3), int(view[0]), np.uint8)):
    envs = wrappers.vectorize(walk(length, picture), 2)
    act_of = lambda state: lambda memory, observation, first, key: (memory, jnp.full(2, state))
    return player(act_of, envs)(jnp.int32(1), jax.random.key(0))


def test_an_episode_ends_at_its_end_and_shows_every_view():
    first, second = played(3)
    assert first.lines[:3] == [f"step {t}: action 1, reward 0.5" for t in (1, 2, 3)]
    assert first.lines[3:] == ["terminated after 3 steps with a return of 1.5"] == second.lines[3:]
    assert [int(frame[0, 0, 0]) for frame in first.frames] == [0, 1, 2, 3]


def test_a_figure_shows_frames_evenly_in_time():
    (episode, _) = played(40)
    titles = [ax.get_title() for ax in draw_frames(episode).axes]
    assert len(titles) == FRAMES and titles[0] == "step 0" and titles[-1] == "step 40"
    assert len(draw_frames(played(2)[0]).axes) == 3


def test_views_without_a_picture_give_text_alone():
    assert played(2, None)[0].frames is None


def test_the_middle_of_a_long_episode_is_counted():
    lines = [str(i) for i in range(100)]
    short = play.shortened(lines)
    assert short[11:14] == ["11", "... 76 more steps", "88"] and len(short) == 25
    assert play.shortened(lines[:25]) == lines[:25]


def test_play_writes_a_gif_of_a_run(tmp_path, capsys):
    run = ["run", "rl/ppo", "--smoke", "--workdir", str(tmp_path / "run")]
    assert cli.main([*run, "--seeds", "0"]) == 0
    capsys.readouterr()
    assert cli.main(["play", str(tmp_path / "run"), "--episodes", "2"]) == 0
    out = capsys.readouterr().out
    assert "episode 2\nstep 1: action " in out and "with a return of" in out
    with Image.open(tmp_path / "run" / "episodes.gif") as gif:
        assert gif.size == (240, 240) and gif.n_frames > 10
    assert cli.main(["play", str(tmp_path / "run"), "--to", str(tmp_path / "no" / "a.gif")]) == 2
    assert "cannot write" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, line",
    [
        (["--episodes", "5"], "--episodes must be 1 to 4, got 5"),
        (["--seed", "-1"], "--seed must be at least 0"),
        ([], "is not the directory of a run"),
    ],
)
def test_wrong_input_gets_one_line(tmp_path, capsys, arguments, line):
    assert cli.main(["play", str(tmp_path), *arguments]) == 2
    error = capsys.readouterr().err
    assert line in error and error.count("\n") == 1
