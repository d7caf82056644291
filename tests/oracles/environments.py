"""Episodes of gymnasium's classic control from given states.

Each case holds the views, rewards and ends of all steps, and marks the steps before the end of the
episode as alive.
"""

import gymnasium
import numpy as np
from case import Arrays, named, settings

GROUP = "rl"
PACKAGES = ("gymnasium",)
T = 60
# (state, actions) of episodes that end within T steps and of episodes that do not
CARTPOLE = [
    ([0.01, -0.02, 0.03, 0.04], "alternate"),
    ([-0.03, 0.5, -0.02, -0.4], "right"),
    ([2.0, 1.5, 0.0, 0.0], "alternate"),
]
MOUNTAIN_CAR = [([-0.5, 0.0], "random"), ([0.4, 0.04], "right"), ([-1.15, -0.05], "left")]
ACROBOT = [
    ([0.1, -0.1, 0.05, 0.02], "random"),
    ([2.5, 0.6, 1.0, -0.5], "right"),
    ([1.0, 1.0, -3.0, 2.0], "left"),
]
PENDULUM = [([0.3, -0.2], "random"), ([3.0, 1.0], "random"), ([-2.0, -7.9], "random")]


def actions(pattern: str, space, rng: np.random.RandomState) -> np.ndarray:
    if isinstance(space, gymnasium.spaces.Box):  # also beyond the bounds, to test clipping
        return rng.uniform(1.5 * space.low, 1.5 * space.high, (T, *space.shape)).astype(np.float32)
    last = int(space.n) - 1
    named_patterns = {
        "alternate": np.arange(T) % 2,
        "right": np.full(T, last),
        "left": np.zeros(T, int),
    }
    return named_patterns[pattern] if pattern in named_patterns else rng.randint(0, last + 1, T)


def episode(env, state: list[float], chosen: np.ndarray) -> dict[str, list]:
    """T steps of one episode; after its end, the last step is repeated and is not alive."""
    env.reset(seed=0)
    env.state = np.array(state, dtype=np.float64)
    steps, over, step = {"view": [], "reward": [], "terminated": [], "alive": []}, False, None
    for action in chosen:
        if not over:
            step = env.step(action)
        view, reward, terminated, _, _ = step
        for name, x in zip(steps, (view, reward, terminated, not over), strict=True):
            steps[name].append(x)
        over = over or terminated
    return steps


def environment_case(name: str, starts: list, rng: np.random.RandomState) -> Arrays:
    env = gymnasium.make(name).unwrapped
    chosen = np.stack([actions(pattern, env.action_space, rng) for _, pattern in starts])
    episodes = [episode(env, state, a) for (state, _), a in zip(starts, chosen)]
    steps = {key: np.array([e[key] for e in episodes]) for key in episodes[0]}
    limit = settings(max_steps=gymnasium.spec(name).max_episode_steps)
    return {"state": np.array([state for state, _ in starts]), "action": chosen, **limit, **steps}


def generate() -> Arrays:
    rng = np.random.RandomState(10)
    worlds = {
        "CartPole-v1": CARTPOLE,
        "MountainCar-v0": MOUNTAIN_CAR,
        "Acrobot-v1": ACROBOT,
        "Pendulum-v1": PENDULUM,
    }
    arrays = {}
    for name, starts in worlds.items():
        arrays |= named(name, environment_case(name, starts, rng))
    return arrays
