import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.maths.optimisation.perturbed_descent import Noise, descent, in_ball, jins
from panorax.testing.tolerances import NUMBER

DIFFERENT = {"rtol": 1e-4, "atol": 1e-9}
"""values that differ by more are not the same"""

KEY = jax.random.key(0)
NOISE = Noise(radius=0.01, small=0.05, wait=60, enough=1e-4)
BOWL = lambda x: 0.5 * jnp.sum(jnp.square(x))
SADDLE = lambda x: 0.5 * jnp.sum(jnp.square(x[:-1])) - 0.5 * x[-1] ** 2 + 0.25 * x[-1] ** 4
WITHOUT = jax.jit(lambda x: descent(SADDLE, x, 0.2, 400))
WITH = jax.jit(lambda x, key: descent(SADDLE, x, 0.2, 400, NOISE, key))
START = jnp.array([1.0, -0.5, 0.0])


def test_descent_without_noise_is_gradient_descent():
    end = jax.jit(lambda x: descent(BOWL, x, 0.1, 20))(START)
    np.testing.assert_allclose(end.x, 0.9**20 * START, **NUMBER)
    np.testing.assert_allclose(end.values, 0.625 * 0.81 ** np.arange(21), **NUMBER)
    assert int(end.steps) == 20 and not bool(end.ended)
    assert float(end.value) == float(end.values[-1])


def test_descent_stops_below_a_value():
    end = jax.jit(lambda x: descent(BOWL, x, 0.1, 50, below=0.3))(START)
    n = math.ceil(math.log(0.3 / 0.625) / math.log(0.81))
    assert int(end.steps) == n and np.isnan(np.asarray(end.values)[n + 1 :]).all()
    assert float(end.value) < 0.3 <= float(end.values[n - 1])
    assert int(descent(jnp.sum, START, 0.1, 50, below=1.0).steps) == 0


def test_descent_stays_on_the_stable_manifold_and_noise_leaves_it():
    stuck = WITHOUT(START)
    assert float(stuck.x[2]) == 0 and abs(float(stuck.value)) < 1e-6 and int(stuck.steps) == 400
    for seed in range(5):
        end = WITH(START, jax.random.key(seed))
        assert bool(end.ended) and float(end.value) == pytest.approx(-0.25, abs=1e-4)
        assert abs(float(end.x[2])) == pytest.approx(1, abs=1e-2)


def test_noise_is_added_at_a_small_gradient_and_ends_the_descent_at_a_minimum():
    values = np.asarray(WITH(START, KEY).values, np.float64)
    plain = np.asarray(WITHOUT(START).values, np.float64)
    first = np.flatnonzero(~np.isclose(values, plain, **DIFFERENT))[0]
    norms = (1.25 * 0.64 ** np.arange(30)) ** 0.5
    assert first == np.flatnonzero(norms <= 0.05)[0] + 1
    # noise in step 0, checked in step 60: the descent returns to the point before the noise
    bowl = jax.jit(lambda x: descent(BOWL, x, 0.2, 400, NOISE, KEY))(jnp.zeros(3))
    assert bool(bowl.ended) and int(bowl.steps) == 61 and float(bowl.value) == 0
    np.testing.assert_array_equal(bowl.x, 0)
    assert 0 < float(bowl.values[1]) <= 0.5 * 0.01**2
    slope = jax.jit(lambda x: descent(lambda x: x[0], x, 0.2, 100, NOISE, KEY))(jnp.zeros(1))
    assert not bool(slope.ended) and float(slope.x[0]) == pytest.approx(-20, rel=1e-4)


def test_noise_is_added_again_after_wait_steps():
    run = jax.jit(lambda x: descent(lambda x: 0.01 * x[0], x, 0.2, 150, NOISE, KEY))
    values = np.asarray(run(jnp.zeros(1)).values, np.float64)
    assert set(np.flatnonzero(np.abs(np.diff(values) + 2e-5) > 1e-7)) == {0, 61, 122}


def test_noise_is_uniform_in_the_ball():
    x = np.asarray(
        jax.vmap(lambda key: in_ball(key, jnp.zeros(3), 2.0))(jax.random.split(KEY, 4000))
    )
    radius = np.linalg.norm(x, axis=1)
    assert radius.max() <= 2 and np.mean(radius < 1) == pytest.approx(1 / 8, abs=0.02)
    assert np.abs(x.mean(0)).max() < 0.06 and np.mean(x**2) == pytest.approx(4 / 5, abs=0.03)


def test_jins_constants_match_the_paper():
    rate, noise = jins(
        smooth=2.0, hessian_lipschitz=6.0, accuracy=1e-3, dimension=10, gap=0.5, failure=0.1, c=0.5
    )
    chi = 3 * math.log(10 * 2 * 0.5 / (0.5 * 1e-6 * 0.1))
    assert rate == 0.25
    assert noise.small == pytest.approx(0.5**0.5 / chi**2 * 1e-3)
    assert noise.radius == pytest.approx(noise.small / 2)
    assert noise.wait == math.ceil(chi / 0.25 * 2 / (6e-3) ** 0.5)
    assert noise.enough == pytest.approx(0.5 / chi**3 * (1e-9 / 6) ** 0.5)
    assert jins(1.0, 1.0, 10.0, 1, 1.0)[1].small == pytest.approx(10 / 144)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: descent(SADDLE, jnp.zeros((2, 2)), 0.1, 3), "a vector of finite numbers"),
        (lambda: descent(SADDLE, jnp.zeros(0), 0.1, 3), "a vector of finite numbers"),
        (lambda: descent(SADDLE, jnp.array([1.0, jnp.nan]), 0.1, 3), "a vector of finite numbers"),
        (lambda: descent(SADDLE, START, 0.0, 3), "must be above 0 and finite"),
        (lambda: descent(SADDLE, START, float("nan"), 3), "must be above 0 and finite"),
        (lambda: descent(SADDLE, START, 0.1, 0), "steps must be at least 1"),
        (lambda: descent(SADDLE, START, 0.1, 3, NOISE), "noise needs a key"),
        (
            lambda: descent(SADDLE, START, 0.1, 3, NOISE._replace(radius=0.0), KEY),
            "must be above 0 and finite",
        ),
        (
            lambda: descent(SADDLE, START, 0.1, 3, NOISE._replace(wait=0), KEY),
            "must be above 0 and finite",
        ),
        (lambda: jins(1.0, 1.0, 0.0, 1, 1.0), "all constants must be above 0"),
        (lambda: jins(1.0, math.nan, 1.0, 1, 1.0), "all constants must be above 0"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
