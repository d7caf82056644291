import jax
import numpy as np
import pytest

from panorax.core.errors import UserError
from panorax.theory import information
from panorax.theory.information import ESTIMATORS, Config, critics, known_channels, neighbours

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


def test_neighbours_see_the_information():
    estimate = neighbours(CFG, 1, KEY)
    assert estimate.shape == (2, 2)
    np.testing.assert_allclose(estimate.mean(1), CFG.nats, atol=0.2)
    assert len(set(estimate.ravel())) == 4


def test_critics_see_some_and_differ_between_seeds():
    said = critics(CFG, 1, KEY)
    assert set(said) == set(ESTIMATORS[1:])
    for name, batches in said.items():
        assert batches.shape == (2, 2, 20)
        mean = batches.mean(2)
        assert (mean[0] > 0).all() and (mean[0] < 0.7).all() and mean[1, 0] != mean[1, 1], name
        assert batches.std(2).min() > 0
    assert not np.array_equal(said["mine"], said["dv"]) and (
        said["infonce"].mean((1, 2))[1] > said["infonce"].mean((1, 2))[0]
    )


def test_what_is_reported(monkeypatch):
    cfg = Config(dims=(1, 3), nats=(0.5, 1.0, 2.0), seeds=2, batch=10)
    estimate = {
        (name, d): np.array([[0.4, 0.5], [0.9, 1.2], [1.0, 1.5]]) / d
        for name in ESTIMATORS
        for d in cfg.dims
    }
    spread = {
        (name, d): np.array([0.1, 0.2, 0.4]) * (d if name == "dv" else 1)
        for name in ESTIMATORS
        for d in cfg.dims
    }
    monkeypatch.setattr(information, "judged", lambda cfg, key: (estimate, spread))
    monkeypatch.setattr(
        information,
        "channels",
        lambda cfg: (
            {},
            {"e": np.array([0.5])} | dict.fromkeys(("symmetric", "erasure", "z"), np.zeros(1)),
        ),
    )
    result = information.study(cfg, KEY)
    expected = {
        "ksg_1d_bias_2": -0.75, "mine_3d_bias_0.5": -0.35, "ksg_error": 0.75, "nwj_error": 0.05, "ksg_high_dimension_share": 1.25 / 6, "log_batch": np.log(10),
        "infonce_highest": 1.5, "dv_spread_growth": 4.0, "dv_spread_over_infonce": 3.0, "mine_spread": 0.4,
    }  # fmt: skip
    assert {name: result.metrics[name] for name in expected} == pytest.approx(expected)


def test_rows_of_the_known_channels_are_distributions():
    for channel, exact in known_channels(0.2).values():
        np.testing.assert_allclose(channel.sum(1), 1)
        assert 0 < exact < np.log(2)


@pytest.mark.parametrize("wrong", [
    {"nats": ()}, {"nats": (2.0, 1.0)}, {"nats": (5.0,)}, {"dims": ()}, {"neighbours": 500, "points": 500}, {"seeds": 1}, {"batch": 1}, {"moderate": 0.0},
])  # fmt: skip
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UserError):
        Config(**wrong)
