import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from panorax.core.errors import UserError
from panorax.data import datasets
from panorax.theory.likelihoods import Config, average_precision, picture, study


@given(st.integers(0, 2**32 - 1))
def test_average_precision_is_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, 30)
    label[0], score = 1, rng.integers(0, 8, 30) / 8
    assert average_precision(score, label) == pytest.approx(
        average_precision_score(label, score), abs=1e-12
    )


def test_a_picture_has_the_windows_that_it_should():
    x, label, *_ = datasets.digits()
    cfg = Config(rare=3, others=4)
    windows, target = picture(np.random.default_rng(0), x, label, cfg)
    assert windows.shape == (89**2, 64) and target.sum() == 3
    whole = windows[target == 1]
    assert all(
        (np.abs(x[label == cfg.sought].reshape(-1, 64) - window).max(1) == 0).any()
        for window in whole
    )


def test_the_study_measures_what_it_names():
    metrics = study(
        Config(pictures=2, hidden=4, steps=5, batch=16, seeds=2, draws=2000), jax.random.key(0)
    ).metrics
    assert metrics["mean_gauss"] == pytest.approx(1, abs=0.15) and metrics[
        "median_gauss"
    ] == pytest.approx(np.pi / 2, abs=0.2)
    assert (
        metrics["median_laplace"] == pytest.approx(0.55, abs=0.1)
        and metrics["cross_entropy_identity_gap"] < 1e-5
    )
    assert 0 < metrics["average_precision_focal"] < 1


def test_bad_input_is_refused():
    with pytest.raises(UserError, match="rare \\+ others at most 36"):
        Config(rare=30, others=10)
    with pytest.raises(ValueError, match="a label that is 1"):
        average_precision(np.zeros(3), np.zeros(3))
