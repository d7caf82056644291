"""Attention in blocks equals its definition where masks, padding and rounding are hard.

The Triton kernels run interpreted with blocks of 16 tokens: 40 queries and 56 keys have whole,
partial and hidden blocks. Masks are arguments of one compiled program, so that each example costs
only its run.
"""

import functools
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.experimental.pallas import mosaic_gpu as plgpu
from jax.sharding import AbstractMesh, use_abstract_mesh

from pallas_kernels import proof
from pallas_kernels.flash_attention import flash_attention, v2
from pallas_kernels.flash_attention.mask import Form, Tokens, loop_bounds, visible
from panorax.testing.tolerances import HALF, LAYER

B, T, S, H, G, K, BLOCK = 2, 40, 56, 4, 2, 8, 16
WHOLE = dict(
    window=np.int32(1000),
    lengths=np.full(B, S, np.int32),
    q_segments=np.zeros((B, T), np.int32),
    k_segments=np.zeros((B, S), np.int32),
    q_positions=np.tile(np.arange(S - T, S, dtype=np.int32), (B, 1)),
    k_positions=np.tile(np.arange(S, dtype=np.int32), (B, 1)),
)


@functools.partial(jax.jit, static_argnums=0)
def with_gradients(implementation, qkv, cotangents, mask):
    """(out, lse), (dq, dk, dv) under a causal mask."""
    run = functools.partial(flash_attention, causal=True, return_lse=True, **mask)
    results, pull = jax.vjp(functools.partial(run, implementation=implementation), *qkv)
    return results, pull(cotangents)


@pytest.fixture(scope="module")
def both():
    """Results and gradients of the kernels in blocks of 16, and those of the reference."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(v2, "GPU", {256: (v2.Blocks(2 * BLOCK, 2 * BLOCK, 4, 2),) * 3})  # float32
        with_gradients.lower("triton_interpreted", *drawn(0), WHOLE).compile()
        yield lambda *arguments: [
            jax.tree.map(np.asarray, with_gradients(name, *arguments))
            for name in ("triton_interpreted", "reference")
        ]


def drawn(seed):
    """q, k, v and cotangents of the results."""
    draw = np.random.default_rng(seed).normal
    shapes = (B, T, H, K), (B, S, G, K), (B, S, G, K), (B, T, H, K), (B, H, T)
    q, k, v, d_out, d_lse = (draw(size=shape).astype(np.float32) for shape in shapes)
    return (q, k, v), (d_out, d_lse)


def assert_equal(kernel, reference, tolerance):
    for x, y in zip(jax.tree.leaves(kernel), jax.tree.leaves(reference), strict=True):
        largest = max(1.0, np.max(np.abs(y), initial=0, where=np.isfinite(y)))
        np.testing.assert_allclose(x / largest, y / largest, **tolerance)


masks = st.fixed_dictionaries(
    dict(
        window=st.sampled_from([1, 5, BLOCK, 1000]).map(np.int32),
        lengths=st.lists(st.integers(0, S), min_size=B, max_size=B).map(np.int32),
        documents=st.integers(1, 4),
        offset=st.sampled_from([0, S - T, 100]),
        shuffled=st.booleans(),
        seed=st.integers(0, 1000),
    )
)


def of_rows(window, lengths, documents, offset, shuffled, seed):
    """Numbers of the tokens: sorted documents, and positions in order or not."""
    rng = np.random.default_rng(seed)
    segments = lambda n: np.sort(rng.integers(0, documents, (B, n)), 1).astype(np.int32)
    ordered = np.tile(np.arange(S, dtype=np.int32), (B, 1))
    return dict(
        window=window,
        lengths=lengths,
        q_segments=segments(T),
        k_segments=segments(S),
        q_positions=ordered[:, :T] + np.int32(offset),
        k_positions=rng.permuted(ordered, axis=1) if shuffled else ordered,
    )


@given(masks, st.sampled_from([1.0, 1e3]), st.integers(0, 1000))
def test_masks_and_padding_equal_the_definition(both, drawn_mask, sharpness, seed):
    """Rows that see no key, NaN behind the lengths, and logits of thousands included."""
    mask = of_rows(**drawn_mask)
    (q, k, v), cotangents = drawn(seed)
    padding = np.arange(S) >= mask["lengths"][:, None]
    k[padding] = v[padding] = np.nan
    kernel, reference = both((sharpness * q, k, v), cotangents, mask)
    # a logit of 3,000 is rounded to 2^-13
    assert_equal(kernel, reference, LAYER if sharpness == 1 else HALF)
    blind = ~np.asarray(visible(tokens_of(mask), True)).any(-1)
    out, lse = kernel[0]
    np.testing.assert_array_equal(out[blind], 0)
    np.testing.assert_array_equal(lse == -np.inf, np.broadcast_to(blind[:, None], lse.shape))
    np.testing.assert_array_equal(kernel[1][0][blind], 0)
    for gradient in kernel[1][1:]:
        np.testing.assert_array_equal(gradient[padding], 0)


def tokens_of(mask):
    names = "q_positions", "k_positions", "window", "lengths", "q_segments", "k_segments"
    return Tokens(*(mask[name] for name in names))


def test_hidden_blocks_are_not_read(both):
    """The window of every query begins behind the first block; its NaN would pass any mask."""
    (q, k, v), cotangents = drawn(0)
    mask = WHOLE | {"window": np.int32(BLOCK), "q_positions": WHOLE["q_positions"] + BLOCK}
    expected = both((q, k, v), cotangents, mask)[0]
    k[:, :BLOCK] = v[:, :BLOCK] = np.nan
    (results, (dq, dk, dv)), _ = both((q, k, v), cotangents, mask)
    jax.tree.map(np.testing.assert_array_equal, (results, dq), (expected[0], expected[1][0]))
    assert not np.any(dk[:, :BLOCK]) and not np.any(dv[:, :BLOCK])


def test_the_log_sum_exp_is_that_of_the_logits(both):
    (q, k, v), cotangents = drawn(3)
    (_, lse), _ = both((q, k, v), cotangents, WHOLE)[0]
    logits = np.einsum("BTHK,BSHK->BHTS", q, np.repeat(k, H // G, 2)) / np.sqrt(K)
    mask = np.broadcast_to(
        WHOLE["k_positions"][:, None] <= WHOLE["q_positions"][..., None], (B, T, S)
    )
    expected = np.log(np.sum(np.exp(logits), -1, where=mask[:, None]))
    np.testing.assert_allclose(lse, expected, **LAYER)


@functools.partial(jax.jit, static_argnums=1)
def bounds_and_mask(mask, over):
    tokens = tokens_of(mask)
    return loop_bounds(tokens, Form(True, 1.0), T, S, BLOCK, BLOCK, over), visible(tokens, True)


@given(masks)
def test_loops_visit_every_visible_pair_and_mask_every_hidden_one(drawn_mask):
    mask = of_rows(**drawn_mask)
    for over in ("keys", "queries"):
        bounds, pairs = map(np.asarray, bounds_and_mask(mask, over))
        pairs = np.pad(pairs, ((0, 0), (0, -T % BLOCK), (0, -S % BLOCK)), mode="edge")
        blocks = pairs.reshape(B, -1, BLOCK, pairs.shape[2] // BLOCK, BLOCK)
        some, every = blocks.any((2, 4)), blocks.all((2, 4))
        if over == "queries":
            some, every = some.swapaxes(1, 2), every.swapaxes(1, 2)
        first, full, rest, last = (bounds[..., n, None] for n in range(4))
        j = np.arange(some.shape[2])
        assert not np.any(some & ~((first <= j) & (j < last)))
        assert np.all(every[np.broadcast_to((full <= j) & (j < rest), some.shape)])
        assert np.all((0 <= first) & (first <= full) & (full <= rest) & (rest <= last))


@pytest.mark.parametrize(
    "change, visited, masked",
    [
        ({}, 10, 4),  # 4 + 3 + 2 + 1 of 16 blocks; only those on the diagonal need a mask
        ({"window": np.int32(BLOCK)}, 7, 7),
        ({"segments": np.repeat(np.int32([[0, 1]]), 32, 1)}, 6, 4),  # two documents
        ({"lengths": np.int32([20])}, 7, 4),
    ],
    ids=("causal", "window", "documents", "lengths"),
)
def test_blocks_without_a_visible_pair_are_skipped(change, visited, masked):
    segments = change.get("segments")
    tokens = Tokens(
        window=change.get("window"),
        lengths_B=change.get("lengths"),
        q_segments_BT=segments,
        k_segments_BS=segments,
    ).placed(*[np.zeros((1, 64, 1, 1))] * 2)
    for over in ("keys", "queries"):
        bounds = np.asarray(loop_bounds(tokens, Form(True, 1.0), 64, 64, BLOCK, BLOCK, over))
        first, full, rest, last, _ = bounds.reshape(-1, 5).T
        assert np.sum(last - first) == visited
        assert np.sum(last - first) - np.sum(rest - full) == masked


def traced(implementation, shapes=((1, 4, 2, 16), (1, 6, 2, 16)), **options):
    q, k = (jax.ShapeDtypeStruct(shape, jnp.bfloat16) for shape in shapes)
    run = functools.partial(flash_attention, implementation=implementation, **options)
    return jax.eval_shape(run, q, k, k)


@pytest.mark.parametrize("name", ["xla", "triton", "triton_v1", "tpu", "mosaic"])
def test_a_bias_is_added_by_the_reference_alone(name):
    bias = np.zeros((1, 2, 4, 6), np.float32)
    with pytest.raises(NotImplementedError, match="bias"):
        traced(name, bias=bias)
    assert traced(None, bias=bias).shape == (1, 4, 2, 16)


def test_a_bias_has_a_gradient_and_equals_alibi():
    (q, k, v), (d, _) = drawn(0)
    slopes = np.float32([0.5, 0.25, 0.125, 0.0625])
    bias = -slopes[:, None, None] * np.abs(np.arange(T)[:, None] - np.arange(S))
    out, pull = jax.vjp(lambda bias: flash_attention(q, k, v, bias=bias), bias[None])
    np.testing.assert_allclose(out, flash_attention(q, k, v, slopes=slopes), **LAYER)
    assert np.any(pull(d)[0])


def test_what_a_kernel_has_no_room_for_is_refused():
    with pytest.raises(NotImplementedError, match="VMEM"):
        traced("tpu", ((1, 2**20, 2, 16), (1, 6, 2, 16)))
    with pytest.raises(NotImplementedError, match="at most 256, not 512"):
        traced("triton", ((1, 4, 2, 512), (1, 6, 2, 512)))
    with pytest.raises(NotImplementedError, match="without other options"):
        traced("mosaic", cap=2.0)
    with pytest.raises(NotImplementedError, match="multiples of 128 tokens"):
        traced("mosaic")


def test_kernels_have_one_dtype():
    q, k = jnp.zeros((1, 4, 2, 16), jnp.bfloat16), jnp.zeros((1, 4, 2, 16))
    for name in ("triton", "mosaic"):
        with pytest.raises(NotImplementedError, match="of one dtype"):
            jax.eval_shape(functools.partial(flash_attention, implementation=name), q, k, k)


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="4 key/value heads do not divide 2 query heads"):
        traced(None, ((1, 4, 2, 16), (1, 6, 4, 16)))
    with pytest.raises(ValueError, match=r"k and v are \[B, S, G, K\]"):
        traced(None, ((1, 4, 2, 16), (1, 6, 2, 8)))
    with pytest.raises(ValueError, match="window needs causal=True"):
        traced(None, window=3)
    with pytest.raises(ValueError, match="given together"):
        traced(None, q_segments=np.zeros((1, 4), np.int32))


def test_v1_lowers_for_a_gpu():
    q, k = (jax.ShapeDtypeStruct((1, 300, h, 80), jnp.bfloat16) for h in (4, 2))
    loss = lambda q, k: jnp.sum(flash_attention(q, k, k, causal=True, implementation="triton_v1"))
    with use_abstract_mesh(AbstractMesh((1,), ("_",), abstract_device=proof.GPU)):
        lowered = jax.jit(jax.grad(loss)).trace(q, k).lower(lowering_platforms=("cuda",))
    lowered = lowered.as_text()
    proof.verify(lowered)
    assert "flash_attention_v1" in lowered and "flash_attention_v1_backward" in lowered


RACES = """
import functools, jax, jax.numpy as jnp, numpy as np
from jax._src.pallas.mosaic_gpu.interpret.interpret_pallas_call import get_races
from pallas_kernels.flash_attention import flash_attention
from panorax.testing.tolerances import HALF

for causal, T, S, K in ((True, 256, 256, 64), (False, 128, 384, 128)):
    draw = np.random.default_rng(0).normal
    shapes = (1, T, 2, K), (1, S, 1, K), (1, S, 1, K)
    qkv = [jnp.asarray(draw(size=shape), jnp.bfloat16) for shape in shapes]
    run = functools.partial(flash_attention, *qkv, causal=causal, return_lse=True)
    results = run(implementation="mosaic_interpreted"), run(implementation="reference")
    for kernel, exact in zip(*results):
        np.testing.assert_allclose(*(np.float32(x) for x in (kernel, exact)), **HALF)
    assert not get_races().races_found
"""


@pytest.mark.skipif(
    not hasattr(plgpu, "InterpretGPUParams"), reason="the interpreter of Mosaic came with jax 0.11"
)
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="its warpgroups need two cores")
def test_v3_equals_the_definition_and_has_no_race():
    environment = os.environ | {"JAX_CPU_ENABLE_ASYNC_DISPATCH": "0"}
    subprocess.run([sys.executable, "-c", RACES], env=environment, timeout=200, check=True)
