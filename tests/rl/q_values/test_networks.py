import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core import spec
from panorax.core.errors import UserError
from panorax.rl.environments.environment import Box, Discrete
from panorax.rl.q_values.networks import Categorical, Mean, of_action, q_network
from panorax.rl.torsos import conv, mlp
from panorax.testing.tolerances import LAYER

KEY = jax.random.key(0)
TORSO, SPACE = mlp.Config((8,)), Discrete(3)
VIEW = jax.random.normal(KEY, (5, 4))


@pytest.mark.parametrize("returns, K", [(Mean(), 1), (Categorical(atoms=7), 7)])
@pytest.mark.parametrize("dueling", [False, True])
def test_a_head_has_outputs_for_every_action(returns, K, dueling):
    network = q_network(TORSO, (4,), SPACE, dueling, returns)
    params = spec.init(network.spec, KEY)
    outputs = network.apply(params, VIEW)
    assert outputs.shape == (5, 3, K) and network.values(outputs).shape == (5, 3)
    action = jnp.array([0, 1, 2, 1, 0])
    np.testing.assert_array_equal(
        of_action(outputs, action), np.asarray(outputs)[np.arange(5), action]
    )


def test_a_duelling_head_is_the_value_plus_centred_advantages():
    network = q_network(TORSO, (4,), SPACE, True, Mean())
    params = spec.init(network.spec, KEY)
    plain = q_network(TORSO, (4,), SPACE, False, Mean())
    advantage = np.asarray(plain.apply(params, VIEW))[..., 0]
    params = jax.device_get(params)
    features = np.maximum(np.asarray(VIEW) @ params["torso"][0]["w"] + params["torso"][0]["b"], 0)
    value = features @ params["state"]["w"] + params["state"]["b"]
    expected = value + advantage - advantage.mean(1, keepdims=True)
    np.testing.assert_allclose(network.values(network.apply(params, VIEW)), expected, **LAYER)


def test_the_value_of_a_distribution_is_its_mean():
    network = q_network(TORSO, (4,), SPACE, False, Categorical(atoms=5, low=-2.0, high=6.0))
    p = np.array([0.1, 0.2, 0.3, 0.4, 0.0]) + 1e-9
    value = network.values(jnp.log(p)[None])
    np.testing.assert_allclose(value, [np.sum(p * [-2, 0, 2, 4, 6])], **LAYER)


def test_what_a_network_cannot_use_is_one_line():
    with pytest.raises(UserError, match="finite number of actions; this environment has Box"):
        q_network(TORSO, (4,), Box((-1.0,), (1.0,)), False, Mean())
    with pytest.raises(UserError, match="at least 3 x 3 pixels"):
        q_network(conv.Config(), (4,), SPACE, False, Mean())
    with pytest.raises(UserError, match="at least 2 atoms from a smaller to a larger return"):
        Categorical(low=1.0, high=1.0)
