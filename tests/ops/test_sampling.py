import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorax.core.errors import UserError
from panorax.ops.sampling import Sampling, min_p, sample, top_k, top_p

NOISE = {"atol": 0.012}
"""more than three standard errors of a share of 20,000 draws"""

P = np.array([0.5, 0.3, 0.15, 0.05], np.float32)
LOGITS = jnp.log(P)


def kept(filtered):
    return list(np.isfinite(np.asarray(filtered)))


def test_filters_keep_the_most_probable_tokens():
    assert kept(top_k(LOGITS, 2)) == [True, True, False, False]
    assert kept(top_k(LOGITS, 9)) == [True] * 4
    assert kept(top_p(LOGITS, 0.7)) == [
        True,
        True,
        False,
        False,
    ]  # the token that crosses p is kept
    assert kept(top_p(LOGITS, 0.01)) == [True, False, False, False]
    assert kept(min_p(LOGITS, 0.25)) == [True, True, True, False]


def test_top_p_adds_no_token_once_the_mass_is_p():
    """Masses of 1/2 and 3/4 are exact in float32: a set of mass p is complete."""
    logits = jnp.log(jnp.array([0.5, 0.25, 0.125, 0.125]))
    mass = np.cumsum(np.asarray(jax.nn.softmax(logits)))
    np.testing.assert_array_equal(mass[:2], [0.5, 0.75])
    assert kept(top_p(logits, 0.5)) == [True, False, False, False]
    assert kept(top_p(logits, 0.75)) == [True, True, False, False]


def test_min_p_keeps_a_token_at_the_bound():
    assert kept(min_p(jnp.array([0.0, float(jnp.log(0.5)), -2.0]), 0.5)) == [True, True, False]


@given(st.floats(0.01, 1.0), st.integers(0, 100))
def test_top_p_keeps_the_smallest_set_of_mass_p(p, seed):
    logits = jax.random.normal(jax.random.key(seed), (9,))
    probability = np.asarray(jax.nn.softmax(logits))
    inside = np.isfinite(np.asarray(top_p(logits, p)))
    assert probability[inside].sum() >= p - 1e-5
    assert probability[inside].sum() - probability[inside].min() < p + 1e-5


def test_samples_follow_the_probabilities():
    draw = jax.jit(jax.vmap(lambda key: sample(LOGITS, key, Sampling())))
    tokens = np.asarray(draw(jax.random.split(jax.random.key(0), 20_000)))
    np.testing.assert_allclose(np.bincount(tokens, minlength=4) / 20_000, P, **NOISE)


def test_zero_temperature_low_temperature_and_top_1_are_greedy():
    key = jax.random.key(0)
    assert int(sample(LOGITS, key, Sampling(temperature=0.0))) == 0
    assert int(sample(LOGITS, key, Sampling(temperature=1e-4))) == 0
    assert int(sample(LOGITS, key, Sampling(top_k=1))) == 0


@pytest.mark.parametrize(
    "wrong",
    [dict(temperature=-1.0), dict(top_k=-1), dict(top_p=0.0), dict(top_p=1.5), dict(min_p=2.0)],
)
def test_a_field_out_of_range_is_named_in_the_error(wrong):
    with pytest.raises(UserError, match=next(iter(wrong)).replace("_", "-")):
        Sampling(**wrong)
