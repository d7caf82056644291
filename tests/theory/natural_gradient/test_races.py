import jax
import numpy as np
import optax

from panorax.theory.natural_gradient.kfac_training import autoencoder
from panorax.theory.natural_gradient.races import Contender, Goal, race, race_result


def test_race_reports_the_setting_with_the_fewest_steps():
    contenders = {"adam": Contender(optax.adam, (1e-5, 1e-2, 1e3), 20)}
    goal = Goal(30.0, window=5)
    outcomes = race(autoencoder((64, 2, 64)), contenders, goal, 32, 2, jax.random.key(0))
    adam = outcomes["adam"]
    assert adam.setting == 1e-2 and adam.losses_NS.shape == (2, 20)
    assert adam.seconds > 0 and adam.steps <= 21
    np.testing.assert_allclose(adam.last_loss, np.median(adam.losses_NS[:, -5:].mean(1)))
    result = race_result("toy", outcomes | {"sgd": adam._replace(setting=(0.5, 0.9))}, goal)
    assert result.metrics == {
        "toy_steps_adam": adam.steps,
        "toy_steps_sgd": adam.steps,
        "toy_best_adam": 1e-2,
        "toy_best_sgd": 0.5,
        "toy_best_sgd_momentum": 0.9,
    }
