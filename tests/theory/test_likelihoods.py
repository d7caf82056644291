import chex
import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from panorax.core.errors import UserError
from panorax.data import datasets
from panorax.theory.likelihoods import (
    Config,
    average_precision,
    estimators,
    identity,
    picture,
    rare_objects,
    windows,
)

KEY = jax.random.key(0)


@given(st.integers(0, 2**32 - 1))
def test_average_precision_agrees_with_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, 30)
    label[0], score = 1, rng.integers(0, 8, 30) / 8
    assert average_precision(score, label) == pytest.approx(
        average_precision_score(label, score), abs=1e-12
    )


def test_windows_of_label_1_hold_a_whole_digit_of_the_class():
    x, label, *_ = datasets.digits()
    cfg = Config(rare=3, others=4)
    pixels, target = windows([picture(np.random.default_rng(0), x, label, cfg)])
    chex.assert_shape(pixels, (89**2, 64))
    digits = x[label == cfg.sought].reshape(-1, 64)
    assert target.sum() == 3
    for window in pixels[target == 1]:
        assert (digits == window).all(1).any()


def test_estimators_have_the_variances_of_theory():
    metrics = estimators(KEY, Config(draws=2000)).metrics
    assert metrics["mean_gauss"] == pytest.approx(1, abs=0.15)
    assert metrics["median_gauss"] == pytest.approx(np.pi / 2, abs=0.2)
    assert metrics["median_laplace"] == pytest.approx(0.55, abs=0.1)


def test_cross_entropy_is_entropy_plus_divergence():
    assert identity(KEY).metrics["cross_entropy_identity_gap"] < 1e-5


def test_average_precision_of_both_losses_is_measured():
    cfg = Config(pictures=2, hidden=4, steps=5, batch=16, seeds=2)
    metrics = rare_objects(KEY, cfg).metrics
    assert 0 < metrics["average_precision_focal"] < 1
    assert 0 < metrics["average_precision_cross_entropy"] < 1


def test_bad_input_is_refused():
    with pytest.raises(UserError, match="rare \\+ others at most 36"):
        Config(rare=30, others=10)
    with pytest.raises(ValueError, match="a label that is 1"):
        average_precision(np.zeros(3), np.zeros(3))
