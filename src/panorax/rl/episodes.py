"""Returns and lengths of finished episodes, in memory that does not grow: the last one of every environment is kept."""

import jax
import jax.numpy as jnp

from panorax.core import struct
from panorax.ops.losses import weighted_mean


@struct.dataclass
class Episodes:
    """Of n environments: the episode under way, the last one finished, and how many were. All of shape (N,)."""

    earned: jax.Array
    steps: jax.Array
    last_return: jax.Array
    last_length: jax.Array
    finished: jax.Array


def initial(n: int) -> Episodes:
    """Nothing earned and nothing finished yet."""
    return Episodes(
        *(jnp.zeros(n, d) for d in (jnp.float32, jnp.int32, jnp.float32, jnp.int32, jnp.int32))
    )


def record(episodes: Episodes, reward_N: jax.Array, ended_N: jax.Array) -> Episodes:
    """One step later."""
    earned, steps = episodes.earned + reward_N, episodes.steps + 1
    return Episodes(
        earned=jnp.where(ended_N, 0, earned),
        steps=jnp.where(ended_N, 0, steps),
        last_return=jnp.where(ended_N, earned, episodes.last_return),
        last_length=jnp.where(ended_N, steps, episodes.last_length),
        finished=episodes.finished + ended_N,
    )


def metrics(episodes: Episodes) -> dict[str, jax.Array]:
    """How many episodes have finished, and the mean over the environments that finished one of the last one's undiscounted return and length
    (0 while `episodes` is 0)."""
    any_yet = episodes.finished > 0
    return {
        "episodes": jnp.sum(episodes.finished),
        "return": weighted_mean(episodes.last_return, any_yet),
        "length": weighted_mean(episodes.last_length, any_yet),
    }
