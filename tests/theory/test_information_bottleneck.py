import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import log_loss

from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.maths.calibration import calibration_error
from panorax.testing.tolerances import NUMBER
from panorax.theory import information_bottleneck as ib

NOISE = {"rtol": 0.02}
"""sampling error of moments of 20,000 draws"""

KEY = jax.random.key(0)
CFG = ib.Config(
    latent=4, hidden=16, steps=200, batch=32, lr=1e-2, samples=5, seeds=2, betas=(1e-3, 3.0)
)
RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(30, 64)), jnp.float32)
LABEL = jnp.asarray(RNG.integers(0, 10, 30), jnp.int32)
PARAMS = core_spec.init(ib.spec(CFG), KEY)


def test_loss_is_cross_entropy_plus_beta_times_rate():
    mean, log_variance = ib.encode(PARAMS, X)
    m, v = (np.asarray(part, np.float64) for part in (mean, log_variance))
    rate = 0.5 * np.sum(m**2 + np.exp(v) - 1 - v, 1).mean()
    logits = np.asarray(ib.sampled_logits(PARAMS, mean, log_variance, KEY), np.float64)
    cross = log_loss(LABEL, softmax(logits, 1), labels=range(10))
    for beta in (0.0, 0.7):
        loss = ib.vib_loss(PARAMS, X, LABEL, beta, KEY)
        np.testing.assert_allclose(loss, cross + beta * rate, **NUMBER)


def test_sampled_codes_have_the_mean_and_variance_of_the_encoder():
    identity = {"decoder": {"w": jnp.eye(2), "b": jnp.zeros(2)}}
    mean = jnp.full((20_000, 2), 3.0)
    log_variance = jnp.broadcast_to(jnp.log(jnp.array([0.25, 4.0]))[None], mean.shape)
    z = np.asarray(ib.sampled_logits(identity, mean, log_variance, KEY))
    np.testing.assert_allclose(z.mean(0), 3, **NOISE)
    np.testing.assert_allclose(z.std(0), [0.5, 2.0], **NOISE)


def test_evaluation_averages_losses_and_predictions_over_samples():
    evaluation = ib.evaluate(PARAMS, X, LABEL, KEY, CFG)
    encoded = ib.encode(PARAMS, X)
    keys = jax.random.split(KEY, CFG.samples)
    logits = np.stack([ib.sampled_logits(PARAMS, *encoded, key) for key in keys])
    p = softmax(logits.astype(np.float64), 2)
    loss = np.mean([log_loss(LABEL, sample, labels=range(10)) for sample in p])
    np.testing.assert_allclose(evaluation.loss, loss, **NUMBER)
    mean = p.mean(0)
    assert float(evaluation.accuracy) == pytest.approx(np.mean(mean.argmax(1) == LABEL))
    calibration = calibration_error(jnp.asarray(mean), LABEL, 10)
    np.testing.assert_allclose(evaluation.calibration, calibration, **NUMBER)


def test_a_small_beta_learns_the_classes_and_a_large_one_learns_nothing():
    trained = ib.train(KEY, CFG)
    rate, accuracy = trained.train.rate, trained.held_out.accuracy
    assert rate.shape == (2, 2) and trained.code.shape == (2, 2, 355, 4)
    assert (accuracy[0] > 0.6).all() and (rate[0] > 2).all()
    assert (accuracy[1] < 0.3).all() and (rate[1] < 0.1).all()
    assert (np.log(10) - trained.train.loss <= rate + 0.01).all()
    assert rate[0, 0] != rate[0, 1]
    metrics = ib.digit_metrics(trained, CFG)
    assert metrics["accuracy_0.001"] == metrics["lowest_accuracy_at_small_beta"]
    assert metrics["rate_3"] == metrics["rate_at_largest_beta"]
    assert metrics["class_entropy"] == pytest.approx(np.log(10), abs=1e-3)


def test_computed_curves_are_the_exact_ones():
    known = ib.exact_curves(ib.Config(bins=16, points=6, iterations=500))
    assert set(known) == {"binary", "gaussian"}
    metrics = ib.curve_metrics(known)
    assert metrics["binary_gap"] < 1e-3 and metrics["gaussian_gap"] < 0.02
    assert metrics["processing_excess"] < 1e-9 and metrics["chord_outside"] < 1e-3


def test_violations_of_data_processing_and_concavity_are_measured():
    b, r = np.array([1.0, 2.0]), np.array([0.0, 1.0])
    curve = ib.KnownCurve(b, r, np.array([0.0, 1.2]), 0.9, lambda r: r)
    assert ib.processing_excess(curve) == pytest.approx(0.3)
    assert ib.chord_outside(curve) == pytest.approx(0.2)
    flat = curve._replace(relevance=np.array([0.0, 0.4]))
    assert ib.processing_excess(flat) == 0
    assert ib.chord_outside(flat) == pytest.approx(0.1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"betas": (1.0,)},
        {"betas": (1.0, 0.1)},
        {"latent": 1},
        {"flip": 0.5},
        {"correlation": 1.0},
        {"points": 1},
    ],
)
def test_bad_input_is_refused(wrong):
    with pytest.raises(UserError, match="must be|must rise"):
        ib.Config(**wrong)
