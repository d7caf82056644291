import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core.errors import UserError
from panorax.data import datasets
from panorax.maths.inference.gaussian_family import Gaussian
from panorax.maths.inference.linear_regression import Posterior
from panorax.testing.tolerances import NUMBER
from panorax.theory.variational_inference import (
    Config,
    LinearFit,
    linear_metrics,
    log_predictive,
    study,
)


def test_datasets_are_standardised():
    x, y = datasets.diabetes()
    np.testing.assert_allclose([x.mean(), x.std(0).mean(), y.std()], [0, 1, 1], **NUMBER)
    x, label, x_held, label_held = datasets.breast_cancer()
    assert len(x) + len(x_held) == 569 and {*label_held} == {0.0, 1.0}
    np.testing.assert_allclose(x.std(0), 1, **NUMBER)


def test_linear_metrics_of_the_best_fit_of_each_family():
    precision = np.array([[4.0, 1.5], [1.5, 1.0]])
    exact = Posterior(np.array([1.0, -2.0]), precision, -3.0)
    mean, factor = jnp.array([1.0, -2.0]), np.linalg.cholesky(np.linalg.inv(precision))
    scale = jnp.log(jnp.asarray(np.diag(factor)))
    fits = {
        "full_rank": LinearFit(Gaussian(mean, scale, jnp.asarray(factor)), -3.0),
        "mean_field": LinearFit(Gaussian(mean, -0.5 * jnp.log(np.diag(precision)), None), -3.5),
    }
    metrics = linear_metrics(exact, fits)
    for name in fits:
        assert metrics[f"linear_mean_gap_{name}"] < 1e-6
        assert metrics[f"linear_spread_gap_{name}"] < 1e-6
    assert metrics["linear_spread_over_exact_full_rank"] == pytest.approx(1)
    share = np.sqrt(1 / 4 / np.linalg.inv(precision)[0, 0])
    assert metrics["linear_spread_over_exact_mean_field"] == pytest.approx(share)
    assert metrics["linear_evidence_gap_mean_field"] == pytest.approx(0.5)


def test_predictions_without_coefficients_are_even():
    assert float(log_predictive(jnp.zeros((3, 31)))) == pytest.approx(np.log(0.5))


def test_a_short_fit_underestimates_spread_and_evidence():
    cfg = Config(steps=300, samples=4, lr=0.1)
    metrics = study(cfg)["linear"](jax.random.key(0)).metrics
    assert metrics["linear_spread_over_exact_mean_field"] < 0.9
    assert metrics["linear_evidence_gap_mean_field"] > 0
    assert np.isfinite([*metrics.values()]).all()


def test_bad_input_is_refused():
    with pytest.raises(UserError, match="chains must be at least 2"):
        Config(chains=1)
