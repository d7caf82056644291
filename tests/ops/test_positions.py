import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorax.ops.positions import (
    Alibi,
    Learned,
    NoPE,
    Rope,
    Sinusoidal,
    rope,
    rope_frequencies,
    sinusoidal,
)
from panorax.testing.tolerances import NUMBER

K = 8
rotate = jax.jit(rope)
Q, R = np.random.default_rng(0).normal(size=(2, 1, 1, 1, K)).astype(np.float32)


def score(i, j):
    rotated = lambda x, p: rotate(x, np.array([[p]]), rope_frequencies(K, 10_000.0))
    return float(jnp.sum(rotated(Q, i) * rotated(R, j)))


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 100))
def test_scores_depend_only_on_the_difference_of_positions(i, j, shift):
    assert abs(score(i, j) - score(i + shift, j + shift)) < 1e-4


def test_rope_rotates_half_split_pairs():
    x = np.asarray(rotate(Q, np.array([[3]]), rope_frequencies(K, 10_000.0)))
    pairs = (Q[0, 0, 0, :4] + 1j * Q[0, 0, 0, 4:]) * np.exp(3j * 10_000.0 ** (-np.arange(4) / 4))
    np.testing.assert_allclose(x[0, 0, 0], np.concatenate([pairs.real, pairs.imag]), **NUMBER)


def test_sinusoidal_features_are_cosines_then_sines():
    features = sinusoidal(jnp.array([0.0, 2.0]), 4)
    expected = [[1, 1, 0, 0], [np.cos(2), np.cos(0.02), np.sin(2), np.sin(0.02)]]
    np.testing.assert_allclose(features, expected, **NUMBER)
    with pytest.raises(ValueError, match="even width"):
        sinusoidal(jnp.array([0.0]), 3)


def test_alibi_slopes_are_the_paper_s():
    np.testing.assert_allclose(Alibi().slopes(8), 2.0 ** -np.arange(1, 9), **NUMBER)
    powers = [2, 4, 6, 8, 1, 3]
    np.testing.assert_allclose(Alibi().slopes(6), 2.0 ** -np.array(powers), **NUMBER)


def test_schemes_act_in_one_place_each():
    x, position = jnp.ones((1, 2, 4)), jnp.array([[0, 3]])
    table = {"positions": jnp.arange(8.0).reshape(2, 4)}
    np.testing.assert_allclose(Learned(2).added(table, x, position)[0], 1 + table["positions"])
    waves = Sinusoidal().added({}, x, position) - x
    np.testing.assert_allclose(2 * waves, sinusoidal(position, 4), **NUMBER)
    for scheme in (NoPE(), Rope(), Alibi()):
        assert scheme.added({}, x, position) is x and scheme.spec(4) == {}
    for scheme in (NoPE(), Sinusoidal(), Learned(2), Alibi()):
        assert scheme.rotation(4, position, 2)(x) is x
    for scheme in (NoPE(), Rope(), Sinusoidal(), Learned(2)):
        assert scheme.slopes(4) is None
