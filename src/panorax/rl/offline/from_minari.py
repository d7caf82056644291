"""Data sets of Minari (Farama Foundation), read into the arrays of `dataset` and written from them.

    pip install 'panorax[minari]'
    panorax run rl/cql --data recorded --data.path ~/.minari/datasets/NAME/data \\
        --data.environment CartPole-v1

`minari download NAME` fetches a data set into that folder. Observations must be a Box or a Discrete
space, whose number becomes a view of shape (1,), and actions Discrete, because all methods here
compare a finite number of actions. A Minari episode of T steps has T + 1 observations; the last one
is the final view, so views and next views overlap. An episode that is neither terminated nor
truncated at its end is read as truncated: the data set stopped recording there.
"""

from pathlib import Path

import numpy as np

from panorax.core.errors import UserError
from panorax.rl.offline.dataset import Dataset, checked, joined
from panorax.rl.offline.trajectories import ends

REQUIRED = ("observations", "actions", "rewards", "terminations", "truncations")
"""arrays of an episode"""


def read(path: Path) -> Dataset:
    """Reads all episodes of the data set in the folder `path`, or in its folder "data".

    Raises UserError if Minari is not installed, if the folder holds no data set, if an episode
    lacks an array or has arrays whose lengths do not belong together, if observations or actions
    have another space than above or leave it, and as `dataset.checked`.
    """
    minari, gymnasium = _packages()
    if (path / "data" / "metadata.json").is_file():
        path = path / "data"
    try:
        stored = minari.MinariDataset(path)
        episodes = list(stored.iterate_episodes())
    except KeyError as error:
        raise UserError(
            f"an episode of the Minari data set {path} is incomplete: {error}"
        ) from error
    except (OSError, ValueError, AssertionError, TypeError, AttributeError, ImportError) as error:
        raise UserError(f"{path} cannot be read as a data set of Minari: {error}") from error
    spaces = gymnasium.spaces
    if not isinstance(stored.action_space, spaces.Discrete):
        raise UserError(
            f"the Minari data set {path} has actions {stored.action_space}; offline methods here "
            "need Discrete actions"
        )
    if not isinstance(stored.observation_space, (spaces.Box, spaces.Discrete)):
        raise UserError(
            f"the Minari data set {path} has observations {stored.observation_space}; a view is "
            "one array, from a Box or a Discrete space"
        )
    if not episodes:
        raise UserError(f"the Minari data set {path} has no episode")
    first_action = int(stored.action_space.start)
    parts = [_rows(episode, first_action, path) for episode in episodes]
    rows = checked(joined(parts), f"the Minari data set {path}")
    if rows["action"].max() >= stored.action_space.n:
        raise UserError(
            f"the Minari data set {path} has an action {rows['action'].max() + first_action} "
            f"outside its space {stored.action_space}"
        )
    return rows


def _rows(episode, first_action: int, path: Path) -> Dataset:
    """The transitions of one episode of Minari."""
    view = np.asarray(episode.observations)
    steps = len(episode.rewards)
    lengths = {name: len(getattr(episode, name)) for name in REQUIRED}
    expected = {name: steps + (name == "observations") for name in REQUIRED}
    if lengths != expected or not steps:
        raise UserError(
            f"episode {episode.id} of the Minari data set {path} has lengths {lengths}; an episode "
            "of T > 0 steps has T + 1 observations and T of the others"
        )
    view = view.reshape(steps + 1, -1) if view.ndim == 1 else view
    truncated = np.array(episode.truncations, bool)
    truncated[-1] |= not episode.terminations[-1]
    return {
        "view": view[:-1],
        "next_view": view[1:],
        "action": np.asarray(episode.actions) - first_action,
        "reward": np.asarray(episode.rewards),
        "terminated": np.asarray(episode.terminations),
        "truncated": truncated,
    }


def write(path: Path, dataset: Dataset, name: str, actions: int) -> None:
    """Writes the finished episodes of `dataset` to the folder `path` as the data set `name`.

    name: id of Minari, such as "pendulum/medium-v0".  actions: number of actions of the space.
    Raises UserError if Minari is not installed, if the folder holds a data set, if the name is no
    id, if no episode ends, and if the view after a step differs from the view before the next step
    of an episode, which Minari stores once.
    """
    minari, gymnasium = _packages()
    path = path.absolute()  # Minari 0.5.4 measures the size of its files by absolute paths alone
    dataset = checked(dataset, "the data for Minari")
    if dataset["action"].max() >= actions:
        raise UserError(f"the data for Minari has an action {dataset['action'].max()} of {actions}")
    last = ends(dataset)
    inside = np.setdiff1d(np.arange(last[-1]), last)
    if (dataset["next_view"][inside] != dataset["view"][inside + 1]).any():
        raise UserError(
            "the data for Minari has steps whose next_view is not the view of the following step "
            "of the episode"
        )
    spaces = gymnasium.spaces
    episodes = [
        minari.data_collector.EpisodeBuffer(
            observations=np.concatenate([dataset["view"][rows], dataset["next_view"][rows[-1:]]]),
            actions=np.int64(dataset["action"][rows]),
            rewards=dataset["reward"][rows],
            terminations=dataset["terminated"][rows],
            truncations=dataset["truncated"][rows],
        )
        for rows in np.split(np.arange(last[-1] + 1), last[:-1] + 1)
    ]
    try:
        minari.dataset.minari_dataset.parse_dataset_id(name)
        path.mkdir(parents=True, exist_ok=True)
        storage = minari.dataset.minari_storage.MinariStorage.new(
            path,
            observation_space=spaces.Box(-np.inf, np.inf, dataset["view"].shape[1:]),
            action_space=spaces.Discrete(actions),
            jpeg_encoding=False,
        )
        storage.update_metadata({"dataset_id": name, "minari_version": minari.__version__})
        storage.update_episodes(episodes)
    except (OSError, ValueError, ImportError) as error:
        raise UserError(f"{path} cannot be written as a data set of Minari: {error}") from error


def _packages():
    """The packages minari and gymnasium. Raises UserError if they are not installed."""
    try:
        import gymnasium
        import minari
    except ImportError as error:
        extra = "pip install 'panorax[minari]', or pip install -e '.[minari]' in a clone"
        raise UserError(f"data sets of Minari need the extra minari: {extra} ({error})") from error
    return minari, gymnasium
