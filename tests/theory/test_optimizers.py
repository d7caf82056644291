import jax
import numpy as np
import pytest

from panorax.core.errors import UserError
from panorax.theory.optimizers import (
    Config,
    bowl_metrics,
    bowl_paths,
    decay_metrics,
    noisy_digits,
    study,
)


def test_optimisers_on_the_bowl_take_the_steps_of_theory():
    metrics = bowl_metrics(bowl_paths(Config()), Config())
    expected = np.log(1e-6) / 2 / np.log(99 / 101)
    assert metrics["turns_sgd"] == 20 and metrics["turns_nesterov"] < 20
    assert metrics["steps_sgd"] == pytest.approx(expected, rel=0.02)
    assert metrics["momentum_speedup"] > 4


def test_networks_with_weight_decay_learn_noisy_digits():
    cfg = Config(images=30, hidden=8, steps=20, batch=8, rates=(1e-2,), decays=(1e-3, 0.1), seeds=2)
    metrics = study(cfg)["decay"](jax.random.key(0)).metrics
    assert 0.1 < metrics["accuracy_adamw"] <= 1 and metrics["best_decay_adamw"] in cfg.decays


def test_each_optimiser_is_compared_at_its_own_best_point():
    cfg = Config(rates=(0.1, 0.2), decays=(1.0, 2.0), seeds=2)
    adamw = np.array([[[0.2, 0.4], [0.5, 0.5]], [[0.1, 0.1], [0.9, 0.7]]])
    adam_l2 = np.array([[[0.5, 0.6], [0.1, 0.1]], [[0.1, 0.1], [0.1, 0.1]]])
    assert decay_metrics({"adamw": adamw, "adam_l2": adam_l2}, cfg) == pytest.approx(
        {
            "accuracy_adamw": 0.8,
            "accuracy_adam_l2": 0.55,
            "best_rate_adamw": 0.2,
            "best_rate_adam_l2": 0.1,
            "best_decay_adamw": 2.0,
            "best_decay_adam_l2": 1.0,
            "adamw_gain_in_errors": 0.25 / (0.3 / 2),
            "accuracy_without_decay": 0.3,
        }
    )


def test_about_the_given_share_of_labels_is_random():
    clean, noisy = noisy_digits(Config(noise=0.0))[1], noisy_digits(Config(noise=0.5))[1]
    assert len(clean) == 600 and np.mean(clean != noisy) == pytest.approx(0.45, abs=0.05)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"condition": 0.5}, "condition must be at least 1"),
        ({"rates": ()}, "rates and decays must not be empty"),
        ({"bowl_steps": 19}, "bowl-steps must be at least 20"),
        ({"seeds": 1}, "seeds at least 2"),
    ],
)
def test_bad_input_is_refused(wrong, message):
    with pytest.raises(UserError, match=message):
        Config(**wrong)
