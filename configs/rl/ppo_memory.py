"""PPO on bsuite's memory chain: a GRU policy remembers a cue for 20 steps.

Papers: Osband et al. 2020 (arXiv:1908.03568), Schulman et al. 2017 (arXiv:1707.06347).
Command: panorax run rl/ppo_memory
"""

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.rl.environments.from_gymnax import Config as Gymnax
from panorax.rl.policies.gru import Config as GRU
from panorax.rl.ppo import Config

KEPT = "Panorax: a GRU policy recalls the cue (reward 1, else -1); a memoryless policy averages 0"
CLAIMS = (
    Claim("eval_return", ">=", 0.95, KEPT),
    Claim("min_eval_return_over_5_seeds", ">=", 0.95, f"{KEPT}; for each of 5 seeds"),
)


def get_config() -> Config:
    return Config(
        environment=Gymnax("MemoryChain-bsuite", (("memory_length", 20),)),
        policy=GRU(span=32),
        run=Run(steps=200, chunk=10),
        n_envs=32,
        length=32,
        epochs=4,
        minibatches=4,
        discount=0.99,
        gae_lambda=0.95,
    )


def smoke() -> Config:
    return Config(
        environment=Gymnax(
            "MemoryChain-bsuite", (("memory_length", 3), ("max_steps_in_episode", 8))
        ),
        policy=GRU(width=8, span=4),
        n_envs=4,
        length=8,
        epochs=1,
        eval_episodes=4,
        seeds=0,
        run=Run(steps=4, chunk=2),
    )
