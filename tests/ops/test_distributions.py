import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.ops.distributions import Categorical, MultiCategorical, TanhGaussian, masked
from panorax.testing.tolerances import MODEL, NUMBER

QUADRATURE = {"rtol": 0, "atol": 1e-3}
"""the log probability of actions near 1 - 1e-4 in float32, over 20,001 points"""


@pytest.mark.parametrize("mean, std", [(0.0, 1.0), (0.8, 0.3), (-2.0, 2.0)])
def test_density_integrates_to_1_with_the_moments_of_samples(mean, std):
    pi = TanhGaussian(jnp.array([mean]), jnp.log(jnp.array([std])))
    u = jnp.linspace(mean - 9 * std, mean + 9 * std, 20_001)
    a, du = jnp.tanh(u), u[1] - u[0]
    inside = np.abs(a) < 1 - 1e-4  # where float32 resolves the action
    density = jnp.exp(jax.vmap(pi.log_prob)(a[:, None])) * (1 - a**2)
    mass_outside = 1 - jnp.sum(jnp.where(inside, jnp.exp(-((u - mean) ** 2) / (2 * std**2)), 0)) * (
        du / (std * np.sqrt(2 * np.pi))
    )
    total = jnp.sum(jnp.where(inside, density, 0)) * du
    np.testing.assert_allclose(total + mass_outside, 1, **QUADRATURE)


def test_a_sample_comes_with_its_own_log_probability():
    pi = TanhGaussian(jnp.array([[0.2, -1.0]] * 64), jnp.array([[-1.0, 0.3]] * 64))
    action, log_prob = pi.sample_and_log_prob(jax.random.key(0))
    resolved = np.abs(action).max(-1) < 0.999
    assert resolved.sum() > 50
    expected = np.asarray(pi.log_prob(action))
    np.testing.assert_allclose(np.asarray(log_prob)[resolved], expected[resolved], **MODEL)
    np.testing.assert_array_equal(action, pi.sample(jax.random.key(0)))


def test_saturated_actions_have_finite_log_probabilities_and_gradients():
    def log_prob(mean, action):
        return TanhGaussian(mean, jnp.zeros(1)).log_prob(action)

    value, slope = jax.value_and_grad(log_prob)(jnp.array([30.0]), jnp.array([1.0]))
    assert np.isfinite(value) and np.isfinite(slope).all()
    _, log_prob = TanhGaussian(jnp.array([50.0]), jnp.zeros(1)).sample_and_log_prob(
        jax.random.key(0)
    )
    assert np.isfinite(log_prob)


def test_divergence_of_independent_choices_is_that_of_their_joint_distribution():
    logits = np.random.default_rng(0).normal(size=(2, 7)).astype(np.float32)
    p, q = (MultiCategorical((Categorical(x[:3]), Categorical(x[3:]))) for x in jnp.asarray(logits))
    softmax = lambda x: np.exp(x.astype(np.float64)) / np.exp(x.astype(np.float64)).sum()
    joint_p, joint_q = (np.outer(softmax(x[:3]), softmax(x[3:])) for x in logits)
    expected = (joint_p * np.log(joint_p / joint_q)).sum()
    np.testing.assert_allclose(p.kl(q), expected, **NUMBER)


def test_illegal_actions_add_nothing_to_a_divergence():
    legal = jnp.array([True, True, False])
    p, q = (Categorical(masked(jnp.array(x), legal)) for x in ([0.0, 1.0, 5.0], [1.0, 0.0, -5.0]))
    among_legal = Categorical(jnp.array([0.0, 1.0])).kl(Categorical(jnp.array([1.0, 0.0])))
    np.testing.assert_allclose(p.kl(q), among_legal, **NUMBER)
