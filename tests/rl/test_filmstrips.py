import jax
import jax.numpy as jnp

from panorax.core import figures
from panorax.rl.environments import from_gymnax, probes
from panorax.rl.filmstrips import FRAMES, filmstrip

KEY = jax.random.key(0)


def test_a_filmstrip_shows_evenly_spaced_steps_of_an_episode():
    envs = from_gymnax.environments(from_gymnax.Config("Pendulum-v1"), 1)
    act = lambda memory, observation, first, key: (memory, jnp.zeros((1, 1)))
    figure = filmstrip(act, envs, (), KEY)["episode.png"]
    titles = [ax.get_title() for ax in figure.axes]
    assert len(titles) == FRAMES and titles[0] == "step 0" and titles[-1] == "step 199"
    assert figures.faults(figure) == []


def test_an_environment_without_pictures_has_no_filmstrip():
    envs = probes.environments(probes.Config(), 1)
    assert filmstrip(None, envs, (), KEY) == {}
