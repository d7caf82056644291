import jax
import numpy as np
import pytest

from panorax.core.errors import UserError
from panorax.data import datasets
from panorax.theory.second_order import Config, Outcome, Run, metrics_of, minimised, problems, study


def test_every_method_finds_the_minimum_of_beales_function():
    with jax.enable_x64(True):
        outcome = minimised(problems(Config())["beale"], 1e-6)
    assert set(outcome.scipy_steps) < set(outcome.runs)
    for run in outcome.runs.values():
        assert abs(run.gaps[-1]) < 1e-9 and run.slope <= 1e-6 and len(run.gaps) == run.steps + 1


def test_newtons_method_converges_quadratically():
    metrics = study(Config(dims=(2,)))["newton"](jax.random.key(0)).metrics
    assert metrics["newton_order"] == pytest.approx(2, abs=0.1)


def test_metrics_compare_steps_with_scipys():
    runs = {
        "newton": Run(3, np.array([1.0, 1e-3]), 1e-7),
        "bfgs": Run(6, np.array([1.0, 1e-2]), 1e-6),
    }
    metrics = metrics_of({"beale": Outcome(runs, {"bfgs": 4})})
    assert metrics == {
        "beale_newton_steps": 3,
        "beale_bfgs_steps": 6,
        "beale_bfgs_scipy_steps": 4,
        "largest_gap": 1e-2,
        "largest_slope": 1e-6,
        "largest_steps_over_scipy": 1.5,
        "median_steps_over_scipy": 1.5,
    }


def test_logistic_loss_at_zero_is_log_2_per_patient():
    with jax.enable_x64(True):
        f, start, _ = problems(Config())["logistic"]
        assert float(f(start)) == pytest.approx(np.log(2) * len(datasets.breast_cancer().x))


@pytest.mark.parametrize("dims", [(), (1,), (2, 3, 4, 5, 6)])
def test_bad_input_is_refused(dims):
    with pytest.raises(UserError, match="one to four dimensions, none below 2"):
        Config(dims=dims)
