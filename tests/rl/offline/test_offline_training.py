import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core.config import Run
from panorax.core.step import evaluated, keys_of, scan_steps, stacked
from panorax.rl import cql
from panorax.rl.offline import agents, training
from panorax.rl.torsos import mlp
from panorax.testing.tolerances import DEVICES

STEPS, SEED = 5, 3


def test_a_seed_is_the_run_of_the_command_line_with_this_seed():
    """The same rows, keys and evaluation, also where a chunk does not divide the steps."""
    run = Run(steps=STEPS, chunk=2, seed=SEED)
    cfg = cql.Config(
        data=agents.Config("random", episodes=1),
        torso=mlp.Config((4,)),
        run=run,
        batch=3,
        eval_episodes=2,
        seeds=0,
    )
    system = cql.system(cfg)
    data = {name: jnp.asarray(x) for name, x in agents.dataset(cfg.data).items()}
    batch_of = lambda row_B: {name: data[name][row_B] for name in system.batch}
    curves, evaluation = training.train_seeds(system, batch_of, 200, run, 3, 2)
    assert curves["loss"].shape == (2, 3)

    alone = cql.system(dataclasses.replace(cfg, run=dataclasses.replace(run, seed=SEED + 1)))
    keys = keys_of(SEED + 1)

    @jax.jit
    def train(batches):
        state, metrics = scan_steps(
            alone.train_step, alone.init_state(keys.init), batches, keys.train, STEPS
        )
        return metrics, evaluated(alone.evaluate, state, ((),), keys.evaluate)

    metrics, expected = train(stacked(alone.batches, 0, STEPS))
    np.testing.assert_allclose(evaluation["eval_return"][1], expected["eval_return"], **DEVICES)
    for name, curve in curves.items():
        mean = (2 * curve[1, 0] + 2 * curve[1, 1] + curve[1, 2]) / STEPS
        np.testing.assert_allclose(mean, metrics[name], **DEVICES)
