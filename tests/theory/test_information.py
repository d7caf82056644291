import jax
import numpy as np
import pytest

from panorax.core.errors import UserError
from panorax.maths.information.mutual_information import BOUNDS
from panorax.theory.information import (
    Config,
    Estimates,
    critic_bounds,
    critic_metrics,
    ksg_estimates,
    ksg_metrics,
)

ESTIMATED = {"atol": 0.2}
"""error of an estimate of mutual information, in nats"""

KEY = jax.random.key(0)
CFG = Config(
    dims=(1,),
    nats=(0.5, 2.0),
    points=500,
    hidden=16,
    batch=32,
    steps=150,
    lr=5e-3,
    judged=20,
    seeds=2,
)


def test_ksg_estimates_the_information_with_other_pairs_for_every_seed():
    value, spread = ksg_estimates(KEY, 1, CFG)
    assert value.shape == (2, 2) and spread.shape == (2,)
    np.testing.assert_allclose(value.mean(1), CFG.nats, **ESTIMATED)
    assert len(set(value.ravel())) == 4


def test_critics_estimate_some_information_and_differ_between_seeds():
    bounds = critic_bounds(KEY, 1, CFG)
    assert set(bounds) == set(BOUNDS)
    for name, batches in bounds.items():
        assert batches.shape == (2, 2, 20)
        mean = batches.mean(2)
        assert (mean[0] > 0).all() and (mean[0] < 0.7).all() and mean[1, 0] != mean[1, 1], name
        assert batches.std(2).min() > 0
    assert not np.array_equal(bounds["mine"], bounds["dv"])
    little, much = bounds["infonce"].mean((1, 2))
    assert much > little


def test_metrics_of_given_estimates():
    cfg = Config(dims=(1, 3), nats=(0.5, 1.0, 2.0), seeds=2, batch=10)
    value, spread = np.array([[0.4, 0.5], [0.9, 1.2], [1.0, 1.5]]), np.array([0.1, 0.2, 0.4])
    each = {d: Estimates(value / d, spread) for d in cfg.dims}
    dv = {d: Estimates(value / d, spread * d) for d in cfg.dims}
    metrics = ksg_metrics(each, cfg) | critic_metrics(dict.fromkeys(BOUNDS, each) | {"dv": dv}, cfg)
    expected = {
        "ksg_1d_bias_2": -0.75,
        "mine_3d_bias_0.5": -0.35,
        "ksg_error": 0.75,
        "nwj_error": 0.05,
        "ksg_high_dimension_share": 1.25 / 6,
        "log_batch": np.log(10),
        "infonce_highest": 1.5,
        "dv_spread_growth": 4.0,
        "dv_spread_over_infonce": 3.0,
        "mine_spread": 0.4,
    }
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize(
    "wrong",
    [
        {"nats": ()},
        {"nats": (2.0, 1.0)},
        {"nats": (5.0,)},
        {"dims": ()},
        {"neighbours": 500, "points": 500},
        {"seeds": 1},
        {"batch": 1},
        {"moderate": 0.0},
    ],
)
def test_bad_input_is_refused(wrong):
    with pytest.raises(UserError, match="must"):
        Config(**wrong)
