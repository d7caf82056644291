"""An expert is named by the config of its algorithm."""

import pytest

from panorax.core.errors import UserError
from panorax.rl.imitation.experts import algorithm


def test_an_algorithm_has_a_name():
    assert algorithm("panorax.configs.rl.ppo:smoke").n_envs == 4
    with pytest.raises(UserError, match="no config 'nothing:f'; it is written module:function"):
        algorithm("nothing:f")
    with pytest.raises(UserError, match="configures no on-policy algorithm"):
        algorithm("panorax.configs.rl.sac:smoke")
    with pytest.raises(UserError, match="ppo_memory:smoke has a memory"):
        algorithm("panorax.configs.rl.ppo_memory:smoke")
