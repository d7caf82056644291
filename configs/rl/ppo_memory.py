"""A cue to be kept for 20 steps (bsuite's memory chain, Osband et al. 2020, arXiv:1908.03568): what a policy without memory cannot do.

Paper: Schulman et al. 2017 (arXiv:1707.06347), with a GRU trained through sequences of a rollout.
Command: panorax run rl/ppo_memory
"""

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.rl.environments.from_gymnax import Config as Gymnax
from panorax.rl.policies.gru import Config as GRU
from panorax.rl.ppo import Config

KEPT = "1 for the right answer, -1 for the wrong one: 0 is what any policy without memory gets"
CLAIMS = (
    Claim("eval_return", ">=", 0.95, KEPT),
    Claim("min_eval_return_over_5_seeds", ">=", 0.95, f"{KEPT}; for every seed"),
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
        lambda_=0.95,
    )


def smoke() -> Config:
    return Config(
        environment=Gymnax("MemoryChain-bsuite", (("memory_length", 3), ("max_steps_in_episode", 8))),
        policy=GRU(width=8, span=4), n_envs=4, length=8, epochs=1, eval_episodes=4, seeds=0, run=Run(steps=4, chunk=2),
    )  # fmt: skip
