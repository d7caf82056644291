"""Returns and lengths of the last finished episode of each environment, in constant memory."""

import jax
import jax.numpy as jnp

from panorax.core import struct
from panorax.ops.losses import weighted_mean


@struct.dataclass
class Episodes:
    """Running and finished episodes of n environments; all arrays have shape (N,)."""

    earned: jax.Array
    """undiscounted return of the running episode so far, float32"""
    steps: jax.Array
    """steps of the running episode so far, int32"""
    last_return: jax.Array
    """undiscounted return of the last finished episode, float32"""
    last_length: jax.Array
    """steps of the last finished episode, int32"""
    finished: jax.Array
    """number of finished episodes, int32"""


def initial(n: int) -> Episodes:
    """`n` environments at the start of their first episode."""
    zero, none = jnp.zeros(n, jnp.float32), jnp.zeros(n, jnp.int32)
    return Episodes(earned=zero, steps=none, last_return=zero, last_length=none, finished=none)


def restarted(episodes: Episodes) -> Episodes:
    """`episodes` after the running episodes were abandoned for new ones."""
    return episodes.replace(
        earned=jnp.zeros_like(episodes.earned), steps=jnp.zeros_like(episodes.steps)
    )


def record(episodes: Episodes, reward_N: jax.Array, ended_N: jax.Array) -> Episodes:
    """`episodes` after one more step with these rewards; `ended_N` marks finished episodes."""
    earned, steps = episodes.earned + reward_N, episodes.steps + 1
    return Episodes(
        earned=jnp.where(ended_N, 0, earned),
        steps=jnp.where(ended_N, 0, steps),
        last_return=jnp.where(ended_N, earned, episodes.last_return),
        last_length=jnp.where(ended_N, steps, episodes.last_length),
        finished=episodes.finished + ended_N,
    )


def metrics(episodes: Episodes) -> dict[str, jax.Array]:
    """Number of finished episodes, and mean return and length of the last ones.

    Environments without a finished episode do not count. Both means are 0 if `episodes` is 0.
    """
    has_finished = episodes.finished > 0
    return {
        "episodes": jnp.sum(episodes.finished),
        "return": weighted_mean(episodes.last_return, has_finished),
        "length": weighted_mean(episodes.last_length, has_finished),
    }
