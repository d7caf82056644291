import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from panorax.maths.information import blahut_arimoto as ba
from panorax.theory.information import known_channels


def information(p, channel):
    joint = p[:, None] * channel
    product = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    ratio = joint / np.where(product > 0, product, 1)
    return np.sum(joint[joint > 0] * np.log(ratio[joint > 0]))


@pytest.mark.parametrize("e", [0.02, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("name", ["symmetric", "erasure", "z"])
def test_capacity_matches_the_closed_form(e, name):
    channel, exact = known_channels(e)[name]
    capacity = ba.capacity(channel)
    h = -e * np.log2(e) - (1 - e) * np.log2(1 - e)
    z = np.log2(1 + (1 - e) * e ** (e / (1 - e)))
    bits = {"symmetric": 1 - h, "erasure": 1 - e, "z": z}[name]
    assert exact == pytest.approx(bits * np.log(2), abs=1e-6)
    assert float(capacity.lower) == pytest.approx(bits * np.log(2), abs=1e-8)
    assert -1e-12 <= capacity.upper - capacity.lower <= 1e-9


def test_capacity_of_textbook_channels():
    assert float(ba.capacity([[0.9, 0.1], [0.1, 0.9]]).lower) / np.log(2) == pytest.approx(
        0.531004406, abs=1e-9
    )
    assert float(ba.capacity(np.eye(4)).lower) == pytest.approx(np.log(4))
    assert float(ba.capacity(np.full((3, 2), 0.5)).upper) == pytest.approx(0, abs=1e-12)
    assert float(ba.capacity([[0.2, 0.8]]).upper) == pytest.approx(0, abs=1e-12)


@given(st.integers(0, 2**32 - 1))
def test_capacity_of_random_channels_matches_scipys_optimiser(seed):
    rng = np.random.default_rng(seed)
    channel = rng.dirichlet(np.ones(3), 4)
    channel[0, rng.integers(3)] = 0
    channel[0] /= channel[0].sum()
    capacity = ba.capacity(channel, 1e-8)
    theirs = minimize(
        lambda p: -information(np.maximum(p, 0), channel),
        np.full(4, 0.25),
        method="SLSQP",
        bounds=[(0, 1)] * 4,
        constraints={"type": "eq", "fun": lambda p: p.sum() - 1},
        options={"ftol": 1e-12, "maxiter": 500},
    )
    assert -theirs.fun <= capacity.upper + 1e-6 and -theirs.fun == pytest.approx(
        float(capacity.lower), abs=1e-5
    )
    assert -1e-12 <= capacity.upper - capacity.lower <= 1e-8
    assert information(np.asarray(capacity.input_X), channel) == pytest.approx(
        float(capacity.lower), abs=2e-8
    )
    assert float(
        ba.discrete_information((capacity.input_X[:, None] * channel).astype(np.float32))
    ) == pytest.approx(information(np.asarray(capacity.input_X), channel), abs=1e-5)


def test_the_bounds_hold_after_any_number_of_steps():
    channel, exact = known_channels(0.3)["z"]
    for steps in (0, 1, 3):
        capacity = ba.capacity(channel, steps=steps)
        assert capacity.lower <= exact <= capacity.upper and capacity.steps == steps


@pytest.mark.parametrize("p, slope", [(0.5, 1.0), (0.3, 2.0), (0.1, 4.0)])
def test_rate_distortion_of_a_bit(p, slope):
    point = ba.rate_distortion([p, 1 - p], 1 - np.eye(2), slope)
    d, h = float(point.distortion), lambda q: -q * np.log(q) - (1 - q) * np.log(1 - q)
    assert d == pytest.approx(1 / (1 + np.exp(slope)), abs=1e-5)
    assert point.lower - 1e-9 <= h(p) - h(d) <= point.upper + 1e-9
    assert -1e-12 <= point.upper - point.lower <= 1e-9
    assert float(np.sum(point.output_Y)) == pytest.approx(1)


def test_rate_distortion_is_0_for_a_flat_slope():
    point = ba.rate_distortion([0.2, 0.8], 1 - np.eye(2), 0.5, 1e-7)
    assert float(point.upper) == pytest.approx(0, abs=1e-6) and float(
        point.distortion
    ) == pytest.approx(0.2, abs=1e-5)


def test_rate_distortion_of_a_gaussian():
    grid = np.linspace(-5, 5, 51)
    p = np.exp(-0.5 * grid**2)
    point = ba.rate_distortion(p / p.sum(), (grid[:, None] - grid[None]) ** 2, 2.0, 1e-4)
    assert float(point.distortion) == pytest.approx(1 / 4, abs=1e-3)  # slope 1 / 2D
    assert float(point.upper) == pytest.approx(np.log(2), abs=2e-3)


def test_invalid_channels_and_sources_are_refused():
    with pytest.raises(ValueError, match="rows of a channel must sum to 1, got 0.9"):
        ba.capacity([[0.5, 0.4], [0.5, 0.5]])
    with pytest.raises(ValueError, match="sum to 1"):
        ba.capacity([[0.5, 0.6], [0.5, 0.4]])  # the columns sum to 1
    with pytest.raises(ValueError, match="at least 0"):
        ba.capacity([[1.5, -0.5], [0.5, 0.5]])
    with pytest.raises(ValueError, match="finite"):
        ba.capacity([[np.nan, 1.0], [0.5, 0.5]])
    for wrong in ([0.5, 0.5], np.zeros((0, 2)), np.zeros((2, 2, 2))):
        with pytest.raises(ValueError, match="must have 2 axes"):
            ba.capacity(wrong)
    for p, d, slope, message in (
        ([0.5, 0.4], np.eye(2), 1.0, "sum to 1"),
        ([0.5, 0.5], np.eye(3), 1.0, r"shape \(2, Y\)"),
        ([0.5, 0.5], -np.eye(2), 1.0, "not negative"),
        ([0.5, 0.5], np.eye(2), 0.0, "slope positive"),
        ([0.5, 0.5], np.eye(2) / np.nan, 1.0, "finite"),
    ):
        with pytest.raises(ValueError, match=message):
            ba.rate_distortion(p, d, slope)
