import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import figures
from panorax.core.config import Run
from panorax.core.state import State, System
from panorax.rl.comparison import compared

KEY = jax.random.key(0)


def counter(gain):
    """A system whose return is `gain` times the step, and whose evaluation is random."""
    return System(
        spec={},
        init_state=lambda key: State((), (), jax.random.uniform(key), jnp.int32(0)),
        train_step=lambda state, batch, key: (
            state.replace(step=state.step + 1),
            {"return": gain * state.step},
        ),
        evaluate=lambda state, batch, key: {"eval_return": (gain * state.extra, 1)},
        per_step={"environment_steps": 4},
    )


def test_variants_are_trained_on_the_same_seeds():
    result = compared({"whole": counter(1.0), "without_gain": counter(2.0)}, Run(5, 2), 3, KEY)
    metrics = result.metrics
    assert metrics["mean_eval_return_without_gain"] == 2 * metrics["mean_eval_return_whole"]
    assert metrics["min_eval_return_whole"] < metrics["mean_eval_return_whole"]
    figure = result.figures["variants.png"]
    assert not figures.faults(figure)
    mean = figure.axes[1].lines[-1]
    np.testing.assert_array_equal(mean.get_xdata(), [8, 16, 20])
    np.testing.assert_array_equal(mean.get_ydata(), [1, 5, 8])
