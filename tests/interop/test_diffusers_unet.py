"""Parameters of the U-Net as a state dict of diffusers, and back."""

import chex
import jax
import numpy as np
import pytest

from panorax.core import spec
from panorax.core.errors import UserError
from panorax.interop import diffusers_unet
from panorax.nets import unet

CFG = unet.Config(channels=(4, 8, 8), blocks=2, attention=(True, False, True), head_dim=2, groups=2)
PARAMS = spec.init(unet.spec(CFG, (4, 8, 3), 5), jax.random.key(0))


def test_a_state_dict_of_the_parameters_is_read_back():
    arrays = diffusers_unet.to_diffusers(PARAMS)
    back = diffusers_unet.from_diffusers(arrays, CFG)
    assert sum(x.size for x in arrays.values()) == spec.count(unet.spec(CFG, (4, 8, 3), 5))
    chex.assert_trees_all_equal(back, PARAMS)
    assert arrays["conv_in.weight"].shape == (4, 3, 3, 3)
    np.testing.assert_array_equal(
        arrays["mid_block.attentions.0.to_k.weight"],
        PARAMS["middle"]["attention"][0]["qkv"]["w"][:, 8:16].T,
    )


def test_an_error_names_the_array_that_does_not_fit():
    arrays = diffusers_unet.to_diffusers(PARAMS)
    with pytest.raises(UserError, match="unknown weights for .*: extra"):
        diffusers_unet.from_diffusers(arrays | {"extra": np.zeros(1)}, CFG)
    with pytest.raises(UserError, match=r"conv_out.bias must have the shape \(3,\), got \(4,\)"):
        diffusers_unet.from_diffusers(arrays | {"conv_out.bias": np.zeros(4)}, CFG)
    for name in ("conv_in.weight", "class_embedding.weight", "mid_block.attentions.0.to_q.bias"):
        with pytest.raises(UserError, match=f"{name} is missing"):
            diffusers_unet.from_diffusers({n: x for n, x in arrays.items() if n != name}, CFG)
