"""DreamerV3 on MinAtar's Breakout: a policy trained in the imagination of a learned model.

The game is gymnax's, which differs from the authors': minimal actions, no sticky actions, and a
limit of steps. The model is smaller than the paper's, and it is updated less often: 16 rows are
replayed for each step of the environment. The entropy has a weight of 0.01 instead of 3e-4: in this
game without chance, the policy with 3e-4 repeated one episode of return 3 until the end of the run.
Papers: Hafner et al. 2023 (arXiv:2301.04104), Young & Tian 2019 (arXiv:1903.03176).
Command: panorax run rl/dreamer
"""

from panorax.configs.rl import dqn_breakout, ppo_breakout

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.nets.recurrent.rssm import Config as RSSM
from panorax.rl.dreamer import Config
from panorax.rl.torsos.conv import Config as Conv
from panorax.rl.torsos.mlp import Config as MLP

FEWER = "Hafner et al. 2023: at as many steps, DreamerV3 earns more than"
ALIKE = "with the most probable actions, mean over 3 seeds; its schedules end at these steps"
CLAIMS = (
    Claim(
        "mean_eval_return_over_3_seeds",
        ">",
        "ppo_mean_eval_return",
        f"{FEWER} PPO of rl/ppo_breakout ({ALIKE})",
    ),
    Claim(
        "mean_eval_return_over_3_seeds",
        ">",
        "dqn_mean_eval_return",
        f"{FEWER} DQN of rl/dqn_breakout ({ALIKE})",
    ),
    Claim(
        "open_loop_error",
        "<",
        "still_view_error",
        "Hafner et al. 2023: after 5 steps the model predicts the views of 20 steps from the"
        " actions, better than the last view that was seen",
    ),
    Claim(
        "mean_eval_return_over_3_seeds",
        ">",
        "eval_return_without_turns",
        "Panorax: a policy that collects the data of its model earns more than a policy that is"
        " trained in a model of random play",
    ),
)
ORACLE = "closed forms of the loss terms; NumPy: the recurrent cell; probe environments"


def get_config() -> Config:
    return Config(
        model=RSSM(recurrent=128, variables=16, classes=8, hidden=64, blocks=4),
        encoder=Conv(channels=8, hidden=64, layer_norm=True),
        head=MLP(hidden=(64, 64), layer_norm=True, activation="silu"),
        bins=63,
        optim=AdamW(peak_lr=1e-3, schedule="constant", b2=0.999, clip=100.0),
        run=Run(steps=773, chunk=10),
        n_envs=16,
        length=8,
        updates=4,
        capacity=102_400,
        random_steps=1024,
        as_bytes=True,
        batch=32,
        sequence=16,
        starts=4,
        horizon=10,
        discount=0.99,
        entropy_weight=1e-2,
        seeds=3,
        rivals=tuple(f"{module.__name__}:get_config" for module in (ppo_breakout, dqn_breakout)),
    )


def smoke() -> Config:
    return Config(
        model=RSSM(recurrent=8, variables=2, classes=2, hidden=4, blocks=2),
        encoder=Conv(channels=2, hidden=4),
        head=MLP(hidden=(4,), activation="silu"),
        bins=5,
        run=Run(steps=4, chunk=2),
        n_envs=2,
        updates=1,
        capacity=64,
        random_steps=16,
        as_bytes=True,
        batch=2,
        sequence=4,
        starts=2,
        horizon=3,
        eval_episodes=2,
    )
