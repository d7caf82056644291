import jax
import jax.numpy as jnp
import numpy as np

from panorax.maths import cost
from panorax.ops import blockwise
from panorax.ops.blockwise import causal_attention

X, W = jnp.zeros((8, 16)), jnp.zeros((16, 16))


def test_a_matrix_product_counts_two_per_multiply_add():
    assert cost.flops(jax.make_jaxpr(lambda x, w: x @ w)(X, W)) == 2 * 8 * 16 * 16


def test_gradients_scans_and_rematerialisation_are_counted():
    def loss(w, step):
        return jnp.sum(jax.lax.scan(lambda h, _: (step(h, w), None), X, length=5)[0])

    layer = lambda h, w: jnp.tanh(h @ w)
    once = 2 * 8 * 16 * 16
    flops = lambda step: cost.flops(jax.make_jaxpr(jax.grad(loss), static_argnums=1)(W, step))
    assert flops(layer) == 3 * 5 * once
    assert flops(jax.checkpoint(layer)) == 4 * 5 * once


def test_a_convolution_counts_its_kernel_at_every_output():
    image, kernel = jnp.zeros((2, 8, 8, 3)), jnp.zeros((3, 3, 3, 5))
    program = jax.make_jaxpr(
        lambda x, k: jax.lax.conv_general_dilated(
            x, k, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
    )
    assert cost.flops(program(image, kernel)) == 2 * (2 * 8 * 8 * 5) * (3 * 3 * 3)


def test_zeros_of_a_dilated_image_are_free():
    image, kernel = jnp.zeros((2, 4, 4, 3)), jnp.zeros((3, 3, 3, 5))
    strided = lambda x: jax.lax.conv_general_dilated(
        x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    # the transpose is a convolution of the cotangent, dilated by two
    back = lambda c: jax.linear_transpose(strided, image)(c)[0]
    assert (
        cost.flops(jax.make_jaxpr(back)(strided(image)))
        == cost.flops(jax.make_jaxpr(strided)(image))
        == 2 * (2 * 2 * 2 * 5) * (3 * 3 * 3)
    )


def test_a_cond_costs_its_more_expensive_branch():
    program = jax.make_jaxpr(
        lambda x: jax.lax.cond(x[0, 0] > 0, lambda x: x @ W @ W, lambda x: x @ W, x)
    )
    assert cost.flops(program(X)) == 2 * 2 * 8 * 16 * 16


def test_blocks_that_are_masked_for_all_queries_are_not_counted(monkeypatch):
    monkeypatch.setitem(blockwise.BLOCK, "cpu", 4)
    x, windows = jnp.zeros((8, 16, 4, 8)), jnp.array([blockwise.NEVER, 4])

    def loss(x, windows):
        position = jnp.arange(16)[None]
        layer = lambda x, window: (causal_attention(x, x, x, position, position, window), None)
        return jnp.sum(jax.lax.scan(jax.checkpoint(layer), x, windows)[0])

    count = lambda f: cost.flops(jax.make_jaxpr(f)(x, windows))
    block, products = 2 * 8 * 4 * 4 * 4 * 8, 2 + 2 + 5  # forward, recomputation, backward
    rest = 2 * 2 * 8 * 4 * 16 * 8  # products of each query with its cotangent, in two layers
    # of 4 x 4 blocks, 10 are visible without a window, and 7 with a window of one block
    known = lambda x, _: jax.grad(loss)(x, np.array([blockwise.NEVER, 4], np.int32))
    assert count(known) - rest == (10 + 7) * products * block
    assert count(jax.grad(loss)) - rest == 2 * 16 * products * block  # windows are not known


def test_peak_bytes_counts_live_values():
    size = 8 * 16 * 4
    peak = lambda f: cost.peak_bytes(jax.make_jaxpr(f)(X, W))
    # the result reuses the memory of an argument
    assert peak(lambda x, w: ((x @ w) @ w) @ w) == 2 * size
    # the elementwise operations are fused into the sum
    assert peak(lambda x, w: jnp.sum(jnp.tanh(x) * 2 + 1)) == 4
    kept = peak(lambda x, w: jax.lax.scan(lambda h, _: (h @ w, h @ w), x, length=10)[1].sum())
    assert 10 * size <= kept <= 13 * size


def test_a_scan_adds_to_its_carry_in_place():
    def total(x, w):
        return jax.lax.scan(lambda sum, _: (sum + x @ w, None), jnp.zeros_like(x), length=10)[0]

    assert cost.peak_bytes(jax.make_jaxpr(total)(X, W)) == 2 * 8 * 16 * 4


def test_unfused_bytes_count_every_operation_and_no_view():
    def softmax(x):
        e = jnp.exp(x - jnp.max(x, -1, keepdims=True))
        return e / jnp.sum(e, -1, keepdims=True)

    x = jax.ShapeDtypeStruct((8, 32), jnp.float32)
    rows, whole = 4 * 8, 4 * 8 * 32
    # max: x; difference: x, max, e; exp: both; sum: e; quotient: e, sum, y
    expected = (whole + rows) + (2 * whole + rows) + 2 * whole + (whole + rows) + (2 * whole + rows)
    assert cost.unfused_bytes(jax.make_jaxpr(softmax)(x)) == expected
