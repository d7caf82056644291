"""Attention, norms, positions, recurrence and losses against torch, transformers and diffusers.

All comparisons but those of positions' tables include gradients.
"""

import jax.numpy as jnp
import numpy as np
import pytest

from pallas_kernels.cross_entropy import linear_cross_entropy
from panorax.nets.recurrent.gru import gru
from panorax.ops.attention import attention, causal_mask, sliding_window_mask
from panorax.ops.losses import cross_entropy, weighted_mean
from panorax.ops.norms import group_norm, layer_norm, rms_norm
from panorax.ops.positions import rope, rope_frequencies, sinusoidal
from panorax.testing.tolerances import LAYER, NUMBER

LARGE_ANGLES = {"atol": 1e-4}
"""sines of large angles, which are rounded"""

MASKS = {
    "attention/causal": causal_mask,
    "attention/window": lambda query, key: sliding_window_mask(query, key, 3),
}


def heads_last(x):
    """Swaps the axes of heads and time, between torch's layout and ours."""
    return jnp.swapaxes(x, 1, 2)


@pytest.mark.parametrize("name", MASKS)
def test_attention(golden, name):
    with golden(name) as case:
        time_BT = jnp.tile(jnp.arange(7)[None], (2, 1))
        mask_BTS = MASKS[name](time_BT, time_BT)
        np.testing.assert_array_equal(mask_BTS, np.broadcast_to(case["mask"], (2, 7, 7)))

        def attend(q, k, v):
            return heads_last(attention(heads_last(q), heads_last(k), heads_last(v), mask_BTS))

        case.check_vjp(attend, ("q", "k", "v"))


def test_rms_norm(golden):
    with golden("norms/rms_norm") as case:
        case.check_vjp(lambda x, scale: rms_norm(x, scale, 1e-5), ("x", "scale"))


def test_layer_norm(golden):
    with golden("norms/layer_norm") as case:
        case.check_vjp(
            lambda x, scale, bias: layer_norm(x, scale, bias, 1e-5), ("x", "scale", "bias")
        )


def test_group_norm(golden):
    def norm(x_BCYX, scale, bias):
        return jnp.moveaxis(group_norm(jnp.moveaxis(x_BCYX, 1, -1), scale, bias, 4, 1e-5), -1, 1)

    with golden("norms/group_norm") as case:
        case.check_vjp(norm, ("x", "scale", "bias"))


@pytest.mark.parametrize("name", ["positions/rope_10000", "positions/rope_500000"])
def test_rope(golden, name):
    with golden(name) as case:
        frequencies = rope_frequencies(**case.settings())
        np.testing.assert_allclose(frequencies, case["frequencies"], **NUMBER)

        def rotate(q, k):
            turn = lambda x: heads_last(rope(heads_last(x), case["position"], frequencies))
            return jnp.concatenate([turn(q), turn(k)], 1)

        # float32 represents the angle at position 90 to 4e-6
        case.check_vjp(rotate, ("q", "k"), tolerance=2 * LAYER["atol"])


def test_sinusoidal(golden):
    with golden("positions/sinusoidal") as case:
        # float32 represents the angle at time 999 to 6e-5
        np.testing.assert_allclose(sinusoidal(case["time"], 10), case["out"], **LARGE_ANGLES)


def test_gru(golden):
    def torch_gru(x, h, w, u, b, c):
        return gru({"w": w.T, "u": u.T, "b": b, "c": c}, h, x, jnp.zeros(x.shape[:2], bool))[1]

    with golden("recurrent/gru") as case:
        names = ("x", "h", "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        case.check_vjp(torch_gru, names)


def test_cross_entropy_without_ignored_labels(golden):
    with golden("losses/cross_entropy") as case:
        weight = (case["label"] >= 0).astype(jnp.float32)
        label = jnp.maximum(case["label"], 0)
        loss = lambda logits: weighted_mean(cross_entropy(logits, label), weight)
        case.check_vjp(loss, ("logits",))


@pytest.mark.parametrize("implementation", ["reference", "xla"])
def test_linear_cross_entropy_with_every_option(golden, implementation):
    with golden("losses/linear_cross_entropy") as case:
        options = case.settings() | {"implementation": implementation}
        loss = lambda x, w: linear_cross_entropy(x, w, case["label"], **options)
        case.check_vjp(loss, ("x", "w"))
