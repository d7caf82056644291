import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from panorax.core.optim import AdamW
from panorax.core.ranges import check
from panorax.nets import mlp
from panorax.testing import strategies
from panorax.theory import elbo

SPEC = mlp.spec((3, 4, 2))


@given(strategies.arrays((2, 3), scale=2.0))
def test_arrays(x):
    assert x.shape == (2, 3) and x.dtype == np.float32


@given(strategies.parameters(SPEC))
def test_no_parameter_array_is_zero(params):
    assert all(layer["b"].any() and layer["w"].any() for layer in params)


@given(st.data())
def test_configs_are_valid(data):
    check(data.draw(strategies.configs(AdamW)))
    cfg = data.draw(strategies.configs(elbo.Config, optim=AdamW()))
    check(cfg)
    assert cfg.optim == AdamW() and 1 <= cfg.run.steps <= 8 and len(cfg.hidden) <= 3
