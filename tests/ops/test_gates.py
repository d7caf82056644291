import jax
import jax.numpy as jnp
import numpy as np

from panorax.ops.gates import geglu, swiglu

GATE, UP = np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32)


def test_gates_multiply_the_activated_gate_and_the_linear_branch():
    for dtype in (jnp.float32, jnp.bfloat16):
        gate, up = jnp.asarray(GATE, dtype), jnp.asarray(UP, dtype)
        np.testing.assert_array_equal(swiglu(gate, up), jax.nn.silu(gate) * up)
        np.testing.assert_array_equal(geglu(gate, up), jax.nn.gelu(gate) * up)
