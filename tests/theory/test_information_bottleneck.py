import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import log_loss

from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.theory import information_bottleneck as ib

KEY = jax.random.key(0)
CFG = ib.Config(
    latent=4, hidden=16, steps=200, batch=32, lr=1e-2, samples=5, seeds=2, betas=(1e-3, 3.0)
)
RNG = np.random.default_rng(0)
X, LABEL = (
    jnp.asarray(RNG.normal(size=(30, 64)), jnp.float32),
    jnp.asarray(RNG.integers(0, 10, 30), jnp.int32),
)
PARAMS = core_spec.init(ib.spec(CFG), KEY)


def test_the_loss_is_cross_entropy_and_weighted_rate():
    mean, log_variance = (np.asarray(part, np.float64) for part in ib.encode(PARAMS, X))
    rate = 0.5 * np.sum(mean**2 + np.exp(log_variance) - 1 - log_variance, 1).mean()
    logits = ib.sampled_logits(
        PARAMS, jnp.asarray(mean, jnp.float32), jnp.asarray(log_variance, jnp.float32), KEY
    )
    cross = log_loss(LABEL, softmax(np.asarray(logits, np.float64), 1), labels=range(10))
    for beta in (0.0, 0.7):
        np.testing.assert_allclose(
            ib.vib_loss(PARAMS, X, LABEL, beta, KEY), cross + beta * rate, rtol=1e-5
        )


def test_codes_are_noisy_by_their_variance():
    eye = {"decoder": {"w": jnp.eye(2), "b": jnp.zeros(2)}}
    mean, log_variance = (
        jnp.full((20_000, 2), 3.0),
        jnp.broadcast_to(jnp.log(jnp.array([0.25, 4.0]))[None], (20_000, 2)),
    )
    z = np.asarray(ib.sampled_logits(eye, mean, log_variance, KEY))
    np.testing.assert_allclose(z.mean(0), 3, atol=0.06)
    np.testing.assert_allclose(z.std(0), [0.5, 2.0], rtol=0.03)


def test_what_is_judged():
    found = ib.judged(PARAMS, X, LABEL, KEY, CFG)
    encoded = ib.encode(PARAMS, X)
    p = np.stack(
        [
            softmax(np.asarray(ib.sampled_logits(PARAMS, *encoded, key), np.float64), 1)
            for key in jax.random.split(KEY, CFG.samples)
        ]
    )
    np.testing.assert_allclose(
        found["loss"], np.mean([log_loss(LABEL, one, labels=range(10)) for one in p]), rtol=1e-5
    )
    assert float(found["accuracy"]) == pytest.approx(np.mean(p.mean(0).argmax(1) == LABEL))
    np.testing.assert_allclose(
        found["calibration"], calibration(p.mean(0), np.asarray(LABEL), 10), atol=1e-6
    )


def calibration(p, label, bars):
    confidence, hit, total = p.max(1), p.argmax(1) == label, 0.0
    for i in range(bars):
        inside = (confidence > i / bars) & (confidence <= (i + 1) / bars)
        total += (
            inside.sum() / len(label) * abs(hit[inside].mean() - confidence[inside].mean())
            if inside.any()
            else 0
        )
    return total


def test_calibration():
    p = RNG.dirichlet(np.ones(4) * 0.4, 200).astype(np.float32)
    label = RNG.integers(0, 4, 200)
    np.testing.assert_allclose(
        ib.calibration_error(jnp.asarray(p), jnp.asarray(label), 7),
        calibration(p, label, 7),
        atol=1e-6,
    )
    sure = jnp.eye(2)[jnp.array([0, 0, 1, 1])]
    assert float(ib.calibration_error(sure, jnp.array([0, 0, 1, 0]), 10)) == pytest.approx(0.25)
    together = jnp.array(
        [[1.0, 0.0], [0.95, 0.05]]
    )  # both of the last bar, which includes 1: |1 - 1.95| / 2
    assert float(ib.calibration_error(together, jnp.array([1, 0]), 10)) == pytest.approx(0.475)
    for wrong in (label[:3], label[:0]):
        with pytest.raises(ValueError, match="must be"):
            ib.calibration_error(jnp.asarray(p), jnp.asarray(wrong), 7)


def test_a_light_bottleneck_learns_and_a_heavy_one_says_nothing():
    seen, unseen, z = ib.learned(CFG, KEY)
    assert seen["rate"].shape == (2, 2) and z.shape == (2, 355, 4)
    assert (unseen["accuracy"][0] > 0.6).all() and (seen["rate"][0] > 2).all()
    assert (unseen["accuracy"][1] < 0.3).all() and (seen["rate"][1] < 0.1).all()
    assert (np.log(10) - seen["loss"] <= seen["rate"] + 0.01).all()
    assert seen["rate"][0, 0] != seen["rate"][0, 1]


def test_the_known_curves():
    metrics, curves = ib.known(ib.Config(bins=16, points=6, iterations=500))
    assert (
        metrics["binary_gap"] < 1e-3
        and metrics["gaussian_gap"] < 0.02
        and metrics["processing_excess"] < 1e-9
    )
    assert set(curves) == {"binary", "gaussian"}


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
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UserError):
        ib.Config(**wrong)
