import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorax.core import spec as core_spec
from panorax.core.state import State
from panorax.core.step import evaluated
from panorax.lm import language_model
from panorax.nets.decoders import decoder, llama
from panorax.nets.decoders.llama import Model
from panorax.ops import blockwise
from panorax.ops.attention import attention, causal_mask
from panorax.ops.positions import rope, rope_frequencies

CFG = Model(vocab=17, d_model=16, n_layers=2, n_heads=4, n_kv_heads=2, d_ff=24)
B, T = 3, 8
TOKENS = np.random.default_rng(0).integers(0, CFG.vocab, (B, T)).astype(np.int32)
POSITION = np.broadcast_to(np.arange(T), (B, T))
apply = jax.jit(decoder.apply, static_argnames="cfg")
extend = jax.jit(decoder.extend, static_argnames="cfg")
PARAMS = jax.tree.map(
    lambda x: x + 0.1 * jax.random.normal(jax.random.key(2), x.shape),
    core_spec.init(llama.spec(CFG), jax.random.key(1)),
)


@jax.jit
def through_layers(x_BTD, position_BT):
    """Logits from embedded tokens at these positions."""
    mask = causal_mask(position_BT, position_BT)
    rotate = lambda x: rope(x, position_BT, rope_frequencies(CFG.head_size, CFG.rope.theta))
    for l in range(CFG.n_layers):
        layer = jax.tree.map(lambda w: w[l], PARAMS["layers"])
        x_BTD, _ = llama.block(
            x_BTD, layer, rotate, lambda q, k, v: (attention(q, k, v, mask), None), CFG
        )
    return llama.unembed(PARAMS, x_BTD, CFG)


@jax.jit
def gradient_of_logits_at(t, x_BTD):
    total = lambda x: jnp.sum(
        jnp.where(jnp.arange(T)[None, :, None] == t, through_layers(x, POSITION), 0)
    )
    return jax.grad(total)(x_BTD)


@given(st.integers(0, T - 1), st.integers(0, 1000))
def test_causality_by_gradient(t, seed):
    x = np.random.default_rng(seed).normal(size=(B, T, CFG.d_model)).astype(np.float32)
    moved_T = np.abs(np.asarray(gradient_of_logits_at(t, x))).sum((0, 2))
    assert (moved_T[: t + 1] > 0).all() and (moved_T[t + 1 :] == 0).all()


@given(st.integers(0, 500))
def test_logits_depend_on_distances_alone(shift):
    x = np.asarray(PARAMS["embed"])[TOKENS]
    np.testing.assert_allclose(
        through_layers(x, POSITION + shift), through_layers(x, POSITION), atol=5e-4
    )


@given(st.integers(0, T - 1), st.integers(0, 1000))
def test_later_tokens_change_nothing_before_them(t, seed):
    other = TOKENS.copy()
    other[:, t:] = np.random.default_rng(seed).integers(0, CFG.vocab, (B, T - t))
    np.testing.assert_allclose(
        apply(PARAMS, TOKENS, cfg=CFG)[:, :t], apply(PARAMS, other, cfg=CFG)[:, :t], atol=1e-6
    )


@given(st.permutations(range(B)), st.integers(0, 1000))
def test_rows_of_a_batch_do_not_see_each_other(order, seed):
    order, whole = np.array(order), apply(PARAMS, TOKENS, cfg=CFG)
    np.testing.assert_allclose(apply(PARAMS, TOKENS[order], cfg=CFG), whole[order], atol=1e-6)
    other = np.random.default_rng(seed).integers(0, CFG.vocab, (B, T)).astype(np.int32)
    other[0] = TOKENS[0]
    np.testing.assert_allclose(apply(PARAMS, other, cfg=CFG)[0], whole[0], atol=1e-6)


@given(st.permutations((1, 1, 1, 5)) | st.permutations((3, 5)) | st.just((1,) * 8) | st.just((8,)))
def test_cached_logits_equal_the_full_pass(pieces):
    cache, start, logits = decoder.empty_cache(CFG, B, 12), 0, []
    for n in pieces:
        piece, cache = extend(
            PARAMS, TOKENS[:, start : start + n], np.full(B, n, np.int32), cache, cfg=CFG
        )
        logits.append(piece)
        start += n
    np.testing.assert_allclose(np.concatenate(logits, 1), apply(PARAMS, TOKENS, cfg=CFG), atol=2e-5)
    np.testing.assert_array_equal(cache.length, [T] * B)


@given(st.tuples(*[st.integers(1, 5)] * B), st.integers(0, CFG.vocab - 1))
def test_padding_of_ragged_prompts_is_never_seen(lengths, padding):
    lengths, whole = np.array(lengths, np.int32), apply(PARAMS, TOKENS, cfg=CFG)
    padded = np.where(np.arange(5) < lengths[:, None], TOKENS[:, :5], padding).astype(np.int32)
    _, cache = extend(PARAMS, padded, lengths, decoder.empty_cache(CFG, B, 12), cfg=CFG)
    rows = np.arange(B)
    after, _ = extend(PARAMS, TOKENS[rows, lengths][:, None], np.ones(B, np.int32), cache, cfg=CFG)
    np.testing.assert_allclose(after[:, 0], whole[rows, lengths], atol=2e-5)


def test_texts_longer_than_a_block_are_read_the_same(monkeypatch):
    windowed = dataclasses.replace(CFG, windows=(0, 3))
    whole = decoder.apply(PARAMS, jnp.asarray(TOKENS), windowed)
    assert not np.allclose(whole, decoder.apply(PARAMS, jnp.asarray(TOKENS), CFG), atol=1e-3)
    monkeypatch.setitem(blockwise.BLOCK, "cpu", 2)
    np.testing.assert_allclose(
        decoder.apply(PARAMS, jnp.asarray(TOKENS), windowed), whole, atol=2e-5
    )
    read, _ = decoder.extend(
        PARAMS, jnp.asarray(TOKENS), jnp.full(B, T), decoder.empty_cache(windowed, B, 12), windowed
    )
    np.testing.assert_allclose(read, whole, atol=2e-5)


def test_remat_unrolling_untied_head_and_bfloat16():
    reference = apply(PARAMS, TOKENS, cfg=CFG)
    remat = dataclasses.replace(CFG, remat="layers")
    np.testing.assert_allclose(apply(PARAMS, TOKENS, cfg=remat), reference, atol=1e-6)
    np.testing.assert_allclose(
        apply(PARAMS, TOKENS, cfg=dataclasses.replace(CFG, unroll=2)), reference, atol=1e-6
    )
    untied = {**PARAMS, "head": PARAMS["embed"].T}
    np.testing.assert_allclose(
        apply(untied, TOKENS, cfg=dataclasses.replace(CFG, tied=False)), reference, atol=1e-6
    )
    half = apply(PARAMS, TOKENS, cfg=dataclasses.replace(CFG, dtype="bfloat16"))
    assert half.dtype == jnp.float32
    np.testing.assert_allclose(half, reference, atol=0.05 * float(np.abs(reference).max()))


def test_evaluate_weighs_every_token_once():
    state = State(PARAMS, (), (), jnp.int32(0))
    rows = TOKENS[:2].reshape(2, 8)[:, :5]
    weights = np.array([[1, 1, 1, 1], [1, 0, 0, 0]], np.float32)
    batches = [
        {"rows": rows[i : i + 1], "weights": weights[i : i + 1], "bytes": np.float32([5])}
        for i in (0, 1)
    ]
    evaluate = jax.jit(functools.partial(language_model.evaluate, net=decoder.net(CFG)))
    metrics = evaluated(evaluate, state, batches, jax.random.key(0))
    log_p = jax.nn.log_softmax(apply(PARAMS, rows[:, :-1], cfg=CFG))
    nats = -sum(
        float(log_p[b, t, rows[b, t + 1]]) for b, t in [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0)]
    )
    np.testing.assert_allclose(metrics["eval_loss"], nats / 5, rtol=1e-5)
    np.testing.assert_allclose(metrics["eval_bits_per_byte"], nats / np.log(2) / 10, rtol=1e-5)


@pytest.mark.parametrize(
    "sizes, message",
    [
        (dict(d_model=10, n_heads=4), "even multiple"),
        (dict(n_heads=4, n_kv_heads=3), "must divide"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        Model(**sizes)


def test_loss_is_the_mean_cross_entropy_of_the_next_token():
    log_p_BTV = jax.nn.log_softmax(apply(PARAMS, TOKENS[:, :-1], cfg=CFG))
    expected = -np.mean(np.take_along_axis(np.asarray(log_p_BTV), TOKENS[:, 1:, None], -1))
    loss, _ = language_model.loss_fn(PARAMS, (), jnp.asarray(TOKENS), None, decoder.net(CFG))
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_recomputing_more_keeps_less_and_changes_no_gradient():
    def loss(params, cfg):
        return language_model.loss_fn(params, (), jnp.asarray(TOKENS), None, decoder.net(cfg))[0]

    gradients, kept = {}, []
    for remat in ("none", "products", "layers"):
        cfg = dataclasses.replace(CFG, remat=remat)
        gradients[remat] = jax.jit(jax.grad(loss), static_argnames="cfg")(PARAMS, cfg=cfg)
        residuals = jax.tree.leaves(
            jax.eval_shape(
                lambda params: jax.vjp(functools.partial(loss, cfg=cfg), params)[1], PARAMS
            )
        )
        kept.append(sum(x.size for x in residuals))
    assert kept[0] > kept[1] > kept[2]
    for remat in ("products", "layers"):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
            gradients["none"],
            gradients[remat],
        )
