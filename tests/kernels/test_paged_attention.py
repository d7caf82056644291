"""Paged attention: which memory it reads, and what it equals."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pallas_kernels.paged_attention import (
    layouts,
    online,
    paged_attention,
    paged_attention_and_lse,
)
from pallas_kernels.paged_attention.cases import OPERATION
from panorax.ops.attention import attention
from panorax.testing.tolerances import LAYER

KERNELS = OPERATION.testable
G, PAGE, P, K = 2, 5, 4, 24
LENGTHS = np.array([0, 1, PAGE, PAGE + 1, P * PAGE - 1, P * PAGE], np.int32)
B, PAGES = len(LENGTHS), len(LENGTHS) * P
EVERY = pytest.mark.parametrize("implementation", ("reference", *KERNELS))
OPTIONS = pytest.mark.parametrize("options", ((), (("window", 7), ("cap", 2.0), ("scale", 0.5))))


@functools.cache
def arguments():
    draw = np.random.default_rng(0)
    q, k, v = (
        draw.normal(size=shape).astype(np.float32)
        for shape in ((B, 2 * G, K), (G, PAGES, PAGE, K), (G, PAGES, PAGE, K))
    )
    tables = draw.permutation(PAGES).astype(np.int32).reshape(B, P)
    return q, k, v, tables, LENGTHS


@functools.cache
def compiled(implementation, options=()):
    run = functools.partial(paged_attention_and_lse, implementation=implementation, **dict(options))
    return jax.jit(run)


def equal(x, y):
    jax.tree.map(np.testing.assert_array_equal, x, y)


def token(b, s):
    """Page and place in the page of a token."""
    return arguments()[3][b, s // PAGE], s % PAGE


@EVERY
@OPTIONS
def test_it_equals_attention_over_a_contiguous_cache(implementation, options):
    q, k, v, tables, lengths = arguments()
    contiguous = lambda x: np.moveaxis(x[:, tables], 0, 3).reshape(B, P * PAGE, G, K)
    given_options = dict(options)
    s, window = np.arange(P * PAGE), given_options.pop("window", P * PAGE)
    mask = (s < lengths[:, None]) & (s >= lengths[:, None] - window)
    inputs = map(jnp.asarray, (q[:, None], contiguous(k), contiguous(v), mask[:, None]))
    expected = attention(*inputs, **given_options)[:, 0]
    out, lse = compiled(implementation, options)(*arguments())
    np.testing.assert_allclose(out, expected, **LAYER)
    assert not out[0].any() and (lse[0] == -np.inf).all() and np.isfinite(lse[1:]).all()


@EVERY
@OPTIONS
def test_it_reads_no_other_token_and_no_table_entry_behind_the_last_page(implementation, options):
    """NaN in every other token, and page numbers outside the cache, change no bit."""
    q, k, v, tables, lengths = arguments()
    window = dict(options).get("window", P * PAGE)
    read = np.zeros((PAGES, PAGE), bool)
    for b, length in enumerate(lengths):
        for s in range(max(0, length - window), length):
            read[token(b, s)] = True
    poisoned = [np.where(read[..., None], x, np.nan) for x in (k, v)]
    behind = np.arange(P) * PAGE >= lengths[:, None]
    garbage = np.where(np.arange(P) % 2, np.int32(-1), np.int32(2**31 - 1))
    tables_with_garbage = np.where(behind, garbage, tables)
    run = compiled(implementation, options)
    equal(run(q, *poisoned, tables_with_garbage, lengths), run(*arguments()))


@EVERY
def test_the_order_of_pages_in_memory_changes_no_bit(implementation):
    q, k, v, tables, lengths = arguments()
    order = np.random.default_rng(1).permutation(PAGES)
    place = np.argsort(order).astype(np.int32)
    run = compiled(implementation)
    equal(run(q, k[:, order], v[:, order], place[tables], lengths), run(*arguments()))


@EVERY
def test_sequences_may_share_pages(implementation):
    """The last sequence with the pages and the query of the one before is that sequence."""
    q, k, v, tables, lengths = map(np.copy, arguments())
    q[-1], tables[-1], lengths[-1] = q[-2], tables[-2], lengths[-2]
    out, lse = compiled(implementation)(q, k, v, tables, lengths)
    equal((out[-1], lse[-1]), (out[-2], lse[-2]))


@pytest.mark.parametrize("splits", (2, 5))
def test_the_number_of_splits_changes_rounding_only(splits):
    one = compiled("triton_interpreted", (("splits", 1),))(*arguments())
    many = compiled("triton_interpreted", (("splits", splits),))(*arguments())
    jax.tree.map(functools.partial(np.testing.assert_allclose, **LAYER), many, one)


@EVERY
def test_a_length_outside_the_table_is_clipped(implementation):
    *arrays, lengths = arguments()
    beyond = np.where(lengths == 0, -3, np.where(lengths == P * PAGE, 1000, lengths))
    run = compiled(implementation)
    equal(run(*arrays, beyond.astype(np.int32)), run(*arrays, lengths))


WEIGHTS = 1e-4
"""averages of values, if logits are at most 100; weights err by the rounding of their logits"""


@settings(max_examples=20, deadline=None)
@given(
    scales=st.tuples(*(st.floats(1e-3, 1e4),) * 2),
    lengths=st.lists(st.integers(0, P * PAGE), min_size=B, max_size=B),
    seed=st.integers(0, 2**16),
)
@pytest.mark.parametrize("implementation", KERNELS)
def test_it_equals_the_reference_for_any_values(implementation, scales, lengths, seed):
    """Extreme logits included: the softmax may be one key, and stays finite."""
    draw = np.random.default_rng(seed)
    _, k, v, tables, _ = arguments()
    q = draw.normal(0, scales[0], (B, 2 * G, K)).astype(np.float32)
    inputs = (q, np.float32(scales[1]) * k, v, tables, np.array(lengths, np.int32))
    out, lse = compiled(implementation)(*inputs)
    expected, expected_lse = compiled("reference")(*inputs)
    size = max(1.0, float(np.abs(expected_lse[np.isfinite(expected_lse)]).max(initial=0)))
    np.testing.assert_allclose(lse / size, expected_lse / size, **LAYER)
    np.testing.assert_allclose(out, expected, atol=WEIGHTS * max(1, size / 100))


def test_attention_over_two_caches_is_merged_by_its_log_sum_exp():
    """A prefix of ten tokens and the rest, as a server computes a shared prefix once."""
    q, k, v, tables, lengths = arguments()
    run = compiled("xla")
    prefix = run(q, k, v, tables[:, :2], np.minimum(lengths, 10))
    rest = run(q, k, v, tables[:, 2:], np.maximum(lengths - 10, 0))
    outs, lses = (jnp.stack(parts) for parts in zip(prefix, rest, strict=True))
    out, lse = online.combine(outs, lses[..., None], axis=0)
    whole, whole_lse = run(*arguments())
    np.testing.assert_allclose(out, whole, **LAYER)
    np.testing.assert_allclose(lse[..., 0], whole_lse, **LAYER)


def test_xla_keeps_no_copy_of_the_cache():
    B, P, page, G, K = 2, 256, 16, 2, 64
    f32, i32 = (functools.partial(jax.ShapeDtypeStruct, dtype=d) for d in (jnp.float32, jnp.int32))
    cache = f32((G, B * P, page, K))
    shapes = f32((B, 2 * G, K)), cache, cache, i32((B, P)), i32((B,))
    temporary = {
        name: compiled(name).lower(*shapes).compile().memory_analysis().temp_size_in_bytes
        for name in ("reference", "xla")
    }
    gathered = B * P * page * G * K * 4
    assert temporary["xla"] < gathered / 8 < gathered < temporary["reference"]


@pytest.mark.parametrize("layout", ("nhd", "hnd"))
def test_vllm_layouts_round_trip(layout):
    pages = arguments()[1]
    there, back = getattr(layouts, f"to_{layout}"), getattr(layouts, f"from_{layout}")
    cache = there(pages)
    shape = {"nhd": (PAGES, PAGE, G, K), "hnd": (PAGES, G, PAGE, K)}[layout]
    assert cache.shape == shape
    equal(back(cache), pages)
    at = (3, 2, 1) if layout == "nhd" else (3, 1, 2)
    equal(cache[at], pages[1, 3, 2])


@pytest.mark.parametrize("dtype, x", ((np.float32, 4), (jnp.bfloat16, 8)))
def test_the_split_layout_of_vllm_round_trips(dtype, x):
    k, v = (np.asarray(pages, dtype) for pages in arguments()[1:3])
    keys, values = layouts.to_split(k, v)
    assert keys.shape == (PAGES, G, K // x, PAGE, x) and values.shape == (PAGES, G, K, PAGE)
    equal(layouts.from_split(keys, values), (k, v))
    equal(keys[3, 1, :, 2].reshape(K), k[1, 3, 2])
    equal(values[3, 1, :, 2], v[1, 3, 2])
    with pytest.raises(ValueError, match="head dimension 22; accepted: a multiple of"):
        layouts.to_split(k[..., :22], v[..., :22])


@pytest.mark.parametrize(
    "changes, message",
    (
        ({0: np.zeros((B, 3, K))}, "2 key/value heads do not divide 3 query heads"),
        ({0: np.zeros((B, 4, 8))}, "head dimension 8, the pages 24"),
        ({0: np.zeros((B, 1, 4, K))}, "accepted: q .B, H, K"),
        ({3: np.zeros((B + 1, P), np.int32)}, "accepted for 6 sequences"),
        ({4: np.zeros(B, np.float32)}, "lengths has dtype float32; accepted: an integer"),
        ({"window": 0}, "window=0; accepted: None or a positive number"),
    ),
)
def test_bad_arguments_are_refused(changes, message):
    inputs = list(arguments())
    options = {}
    for place, value in changes.items():
        if isinstance(place, int):
            inputs[place] = value
        else:
            options[place] = value
    with pytest.raises(ValueError, match=message):
        paged_attention(*inputs, **options)


def test_too_many_query_heads_are_refused_by_the_gpu_kernel():
    q, k, v, *rest = arguments()
    many = jax.ShapeDtypeStruct((B, 2048 * G, K), np.float32)
    run = functools.partial(paged_attention, implementation="triton_interpreted")
    with pytest.raises(NotImplementedError, match="not 2048 heads of 32"):
        jax.eval_shape(run, many, k, v, *rest)
