import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core import spec as core_spec
from panorax.lm import llama
from panorax.lm.llama import Model

CFG = Model(vocab=17, d_model=16, n_layers=2, n_heads=4, n_kv_heads=2, d_ff=24)
B, T = 3, 8
TOKENS = np.random.default_rng(0).integers(0, CFG.vocab, (B, T)).astype(np.int32)
apply = jax.jit(llama.apply, static_argnames="cfg")
extend = jax.jit(llama.extend, static_argnames="cfg")


@functools.cache
def params(cfg=CFG):
    noisy = core_spec.init(llama.spec(cfg), jax.random.key(1))
    return jax.tree.map(lambda x: x + 0.1 * jax.random.normal(jax.random.key(2), x.shape), noisy)


def test_causality_by_gradient():
    embedded = jax.nn.one_hot(TOKENS, CFG.vocab) @ params()["embed"]

    def logits_at(t, x_BTD):  # the embedding lookup is linear, so feed one-hot tokens through it
        table = {**params(), "embed": params()["embed"]}
        position = jnp.broadcast_to(jnp.arange(T)[None, :], (B, T))
        mask = llama.causal_mask(position, position)
        for l in range(CFG.n_layers):
            layer = jax.tree.map(lambda w: w[l], table["layers"])
            x_BTD, _ = llama.block(x_BTD, layer, position, lambda q, k, v: (llama.attention(q, k, v, mask), None), CFG)
        return jnp.sum(llama.unembed(table, x_BTD, CFG)[:, t])

    gradient_T = np.abs(np.asarray(jax.jit(jax.grad(functools.partial(logits_at, 4)))(embedded))).sum((0, 2))
    assert (gradient_T[:5] > 0).all() and (gradient_T[5:] == 0).all()


def test_rows_are_independent():
    other = TOKENS.copy()
    other[1:] = (other[1:] + 5) % CFG.vocab
    np.testing.assert_allclose(apply(params(), TOKENS, cfg=CFG)[0], apply(params(), other, cfg=CFG)[0], atol=1e-6)


def test_later_tokens_change_nothing_before_them():
    other = TOKENS.copy()
    other[:, 5:] = (other[:, 5:] + 3) % CFG.vocab
    a, b = apply(params(), TOKENS, cfg=CFG), apply(params(), other, cfg=CFG)
    np.testing.assert_allclose(a[:, :5], b[:, :5], atol=1e-6)
    assert np.abs(a[:, 5:] - b[:, 5:]).max() > 1e-3


@pytest.mark.parametrize("pieces", [(8,), (5, 1, 1, 1), (1,) * 8, (3, 5)])
def test_cached_logits_equal_the_full_pass(pieces):
    cache, start, logits = llama.empty_cache(CFG, B, 12), 0, []
    for n in pieces:
        piece, cache = extend(params(), TOKENS[:, start : start + n], np.full(B, n, np.int32), cache, cfg=CFG)
        logits.append(piece)
        start += n
    np.testing.assert_allclose(np.concatenate(logits, 1), apply(params(), TOKENS, cfg=CFG), atol=2e-5)
    np.testing.assert_array_equal(cache.length, [T] * B)


def test_padding_of_ragged_prompts_is_never_seen():
    lengths = np.array([2, 5, 3], np.int32)
    padded = np.where(np.arange(5) < lengths[:, None], TOKENS[:, :5], 16).astype(np.int32)
    _, cache = extend(params(), padded, lengths, llama.empty_cache(CFG, B, 12), cfg=CFG)
    after, _ = extend(params(), TOKENS[:, 5:6], np.ones(B, np.int32), cache, cfg=CFG)
    for b, n in enumerate(lengths):
        alone = np.concatenate([TOKENS[b, :n], TOKENS[b, 5:6]])[None]
        np.testing.assert_allclose(after[b, 0], apply(params(), alone, cfg=CFG)[0, -1], atol=2e-5)


def test_remat_and_untied_head_and_bfloat16():
    reference = apply(params(), TOKENS, cfg=CFG)
    remat = dataclasses.replace(CFG, remat=True)
    np.testing.assert_allclose(apply(params(), TOKENS, cfg=remat), reference, atol=1e-6)
    untied = {**params(), "head": params()["embed"].T}
    np.testing.assert_allclose(apply(untied, TOKENS, cfg=dataclasses.replace(CFG, tied=False)), reference, atol=1e-6)
    half = apply(params(), TOKENS, cfg=dataclasses.replace(CFG, dtype="bfloat16"))
    assert half.dtype == jnp.float32
    np.testing.assert_allclose(half, reference, atol=0.05 * float(np.abs(reference).max()))


def test_evaluate_weighs_every_token_once():
    cfg = llama.Config(model=CFG, batch=2, context=4, stride=4)
    state = llama.init_state(jax.random.key(0), cfg).replace(params=params())
    rows = TOKENS[:2].reshape(1, 2, 8)[:, :, :5]
    weights = np.array([[[1, 1, 1, 1], [1, 0, 0, 0]]], np.float32)
    metrics = llama.evaluate(state, {"rows": rows, "weights": weights, "bytes": np.float32(10)}, jax.random.key(0), cfg)
    log_p = jax.nn.log_softmax(apply(params(), rows[0, :, :-1], cfg=CFG))
    nats = -sum(float(log_p[b, t, rows[0, b, t + 1]]) for b, t in [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0)])
    np.testing.assert_allclose(metrics["eval_loss"], nats / 5, rtol=1e-5)
    np.testing.assert_allclose(metrics["eval_bits_per_byte"], nats / np.log(2) / 10, rtol=1e-5)


@pytest.mark.parametrize("sizes, message", [(dict(d_model=10, n_heads=4), "even multiple"), (dict(n_heads=4, n_kv_heads=3), "must divide")])
def test_sizes_that_do_not_fit_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        Model(**sizes)
