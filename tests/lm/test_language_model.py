"""The decoder as a language model: causality, caching, padding, evaluation and loss."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorax import cli
from panorax.core import spec as core_spec
from panorax.core.state import State
from panorax.core.step import evaluated
from panorax.lm import language_model
from panorax.nets.decoders import decoder, gemma, llama
from panorax.nets.decoders.llama import Model
from panorax.ops import blockwise
from panorax.ops.losses import next_token_loss
from panorax.testing.tolerances import CACHED, LAYER, MODEL, NUMBER, SAME

DIFFERENT = {"atol": 1e-3}
"""logits that differ by more are not the same"""
ROUNDING = 0.05
"""error of bfloat16 logits, relative to the largest logit"""

SIZES = dict(vocab=17, d_model=16, n_layers=2, n_heads=4, n_kv_heads=2, d_ff=24)
CFG = Model(**SIZES)
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
    mask = jnp.ones((1, T, T), bool)
    attend = decoder.attention_of(decoder.full_pass(position_BT, CFG, mask), CFG)
    for l in range(CFG.n_layers):
        layer = jax.tree.map(lambda w: w[l], PARAMS["layers"])
        x_BTD, _ = llama.block(x_BTD, layer, attend, CFG)
    return llama.unembed(PARAMS, x_BTD, CFG).logits()


@jax.jit
def gradient_of_logits_at(t, x_BTD):
    at_t = jnp.arange(T)[None, :, None] == t
    return jax.grad(lambda x: jnp.sum(jnp.where(at_t, through_layers(x, POSITION), 0)))(x_BTD)


@given(st.integers(0, T - 1), st.integers(0, 1000))
def test_logits_have_no_gradient_in_later_tokens(t, seed):
    x = np.random.default_rng(seed).normal(size=(B, T, CFG.d_model)).astype(np.float32)
    gradient_T = np.abs(np.asarray(gradient_of_logits_at(t, x))).sum((0, 2))
    assert (gradient_T[: t + 1] > 0).all() and (gradient_T[t + 1 :] == 0).all()


@given(st.integers(0, 500))
def test_logits_depend_only_on_distances(shift):
    x = np.asarray(PARAMS["embed"])[TOKENS]
    shifted = through_layers(x, POSITION + shift)
    np.testing.assert_allclose(shifted, through_layers(x, POSITION), **MODEL)


@given(st.integers(0, T - 1), st.integers(0, 1000))
def test_later_tokens_change_no_earlier_logits(t, seed):
    changed = TOKENS.copy()
    changed[:, t:] = np.random.default_rng(seed).integers(0, CFG.vocab, (B, T - t))
    logits, after = (apply(PARAMS, tokens, cfg=CFG) for tokens in (TOKENS, changed))
    np.testing.assert_allclose(logits[:, :t], after[:, :t], **SAME)


@given(st.permutations(range(B)), st.integers(0, 1000))
def test_rows_of_a_batch_are_independent(order, seed):
    order, whole = np.array(order), apply(PARAMS, TOKENS, cfg=CFG)
    np.testing.assert_allclose(apply(PARAMS, TOKENS[order], cfg=CFG), whole[order], **SAME)
    changed = np.random.default_rng(seed).integers(0, CFG.vocab, (B, T)).astype(np.int32)
    changed[0] = TOKENS[0]
    np.testing.assert_allclose(apply(PARAMS, changed, cfg=CFG)[0], whole[0], **SAME)


@given(st.permutations((1, 1, 1, 5)) | st.permutations((3, 5)) | st.just((1,) * 8) | st.just((8,)))
def test_cached_logits_equal_the_full_pass(pieces):
    cache, start, logits = decoder.empty_cache(CFG, B, 12), 0, []
    for n in pieces:
        tokens = TOKENS[:, start : start + n]
        piece, cache = extend(PARAMS, tokens, np.full(B, n, np.int32), cache, cfg=CFG)
        logits.append(piece)
        start += n
    np.testing.assert_allclose(np.concatenate(logits, 1), apply(PARAMS, TOKENS, cfg=CFG), **CACHED)
    np.testing.assert_array_equal(cache.length, [T] * B)


@given(st.tuples(*[st.integers(1, 5)] * B), st.integers(0, CFG.vocab - 1))
def test_padding_of_ragged_prompts_changes_no_logits(lengths, padding):
    lengths, whole = np.array(lengths, np.int32), apply(PARAMS, TOKENS, cfg=CFG)
    padded = np.where(np.arange(5) < lengths[:, None], TOKENS[:, :5], padding).astype(np.int32)
    _, cache = extend(PARAMS, padded, lengths, decoder.empty_cache(CFG, B, 12), cfg=CFG)
    rows = np.arange(B)
    after, _ = extend(PARAMS, TOKENS[rows, lengths][:, None], np.ones(B, np.int32), cache, cfg=CFG)
    np.testing.assert_allclose(after[:, 0], whole[rows, lengths], **CACHED)


def test_blockwise_attention_changes_no_logits(monkeypatch):
    windowed = dataclasses.replace(CFG, windows=(0, 3))
    tokens = jnp.asarray(TOKENS)
    whole = decoder.apply(PARAMS, tokens, windowed)
    assert not np.allclose(whole, decoder.apply(PARAMS, tokens, CFG), **DIFFERENT)
    monkeypatch.setitem(blockwise.BLOCK, "cpu", 2)  # two tokens per block
    np.testing.assert_allclose(decoder.apply(PARAMS, tokens, windowed), whole, **CACHED)
    cache = decoder.empty_cache(windowed, B, 12)
    cached, _ = decoder.extend(PARAMS, tokens, jnp.full(B, T), cache, windowed)
    np.testing.assert_allclose(cached, whole, **CACHED)


@pytest.mark.parametrize("change", [{"remat": "layers"}, {"unroll": 2}, {"tied": False}], ids=str)
def test_remat_unrolling_and_an_untied_copy_change_no_logits(change):
    untied = {"head": PARAMS["embed"].T} if change == {"tied": False} else {}
    logits = apply(PARAMS | untied, TOKENS, cfg=dataclasses.replace(CFG, **change))
    np.testing.assert_allclose(logits, apply(PARAMS, TOKENS, cfg=CFG), **SAME)


def test_bfloat16_logits_are_float32_and_close():
    reference = apply(PARAMS, TOKENS, cfg=CFG)
    half = apply(PARAMS, TOKENS, cfg=dataclasses.replace(CFG, dtype="bfloat16"))
    assert half.dtype == jnp.float32
    np.testing.assert_allclose(half, reference, atol=ROUNDING * float(np.abs(reference).max()))


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
    places = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0)]
    nats = -sum(float(log_p[b, t, rows[b, t + 1]]) for b, t in places)
    np.testing.assert_allclose(metrics["eval_loss"], nats / 5, **LAYER)
    np.testing.assert_allclose(metrics["eval_bits_per_byte"], nats / np.log(2) / 10, **LAYER)


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
    np.testing.assert_allclose(loss, expected, **NUMBER)


def test_remat_stores_fewer_residuals_and_changes_no_gradient():
    def loss(params, cfg):
        return language_model.loss_fn(params, (), jnp.asarray(TOKENS), None, decoder.net(cfg))[0]

    gradients, sizes = {}, []
    for remat in ("none", "products", "layers"):
        cfg = dataclasses.replace(CFG, remat=remat)
        gradients[remat] = jax.jit(jax.grad(loss), static_argnames="cfg")(PARAMS, cfg=cfg)
        pull_back = lambda params: jax.vjp(functools.partial(loss, cfg=cfg), params)[1]
        residuals = jax.tree.leaves(jax.eval_shape(pull_back, PARAMS))
        sizes.append(sum(x.size for x in residuals))
    assert sizes[0] > sizes[1] > sizes[2]
    chex.assert_trees_all_close(*gradients.values(), **SAME)


def test_embeddings_are_read_in_place_of_ids():
    for family in (llama, gemma):
        cfg = family.Model(**SIZES)
        params = core_spec.init(family.spec(cfg), jax.random.key(1))
        embedded = params["embed"][TOKENS]
        np.testing.assert_array_equal(
            decoder.apply(params, embedded, cfg), decoder.apply(params, jnp.asarray(TOKENS), cfg)
        )


def test_a_mask_and_positions_hide_padding_before_a_text():
    padded = jnp.asarray(np.pad(TOKENS, ((0, 0), (3, 0))))
    place = jnp.arange(T + 3)[None]
    mask = jnp.broadcast_to(place[:, None, :] >= 3, (1, T + 3, T + 3))
    logits = decoder.apply(
        PARAMS, padded, CFG, position_BT=jnp.maximum(place - 3, 0), mask_BTS=mask
    )
    whole = apply(PARAMS, TOKENS, cfg=CFG)
    np.testing.assert_allclose(logits[:, 3:], whole, **CACHED)


def test_documents_in_one_row_are_independent_under_a_mask():
    document = jnp.array([[0, 0, 0, 1, 1, 1, 1, 1]])
    position = jnp.array([[0, 1, 2, 0, 1, 2, 3, 4]])
    mask = document[:, None] == document[:, :, None]
    tokens = jnp.asarray(TOKENS)
    packed = decoder.apply(PARAMS, tokens, CFG, position_BT=position, mask_BTS=mask)
    parts = [decoder.apply(PARAMS, part, CFG) for part in (tokens[:, :3], tokens[:, 3:])]
    np.testing.assert_allclose(packed, jnp.concatenate(parts, 1), **CACHED)


def test_positions_of_each_row_shift_its_logits_nowhere():
    shifted = jnp.arange(T)[None] + jnp.array([[0], [7], [100]])
    logits = decoder.apply(PARAMS, jnp.asarray(TOKENS), CFG, position_BT=shifted)
    np.testing.assert_allclose(logits, apply(PARAMS, TOKENS, cfg=CFG), **MODEL)


def test_an_id_outside_the_vocabulary_makes_the_loss_nan_in_the_tests():
    wrong = jnp.asarray(TOKENS).at[0, 2].set(CFG.vocab)
    loss, _ = language_model.loss_fn(PARAMS, (), wrong, None, decoder.net(CFG))
    assert np.isnan(loss)


@pytest.mark.parametrize(
    "options, vocab",
    [
        ("--data.tokenizer=bytes", 257),
        ("--data.tokenizer=characters", 6),
        ("--data.tokenizer=byte-pairs", 512),
        ("--data.tokenizer=bytes --model.vocab=300", 300),
    ],
)
def test_the_vocabulary_follows_the_tokenizer_unless_it_is_given(
    tmp_path, monkeypatch, options, vocab
):
    (tmp_path / "train.txt").write_text("abcd")
    (tmp_path / "val.txt").write_text("x")
    configs = []
    monkeypatch.setattr("panorax.engine.run.run", lambda *args: configs.append(args[2]) or 1 / 0)
    command = f"run lm/llama --smoke --workdir {tmp_path}/a --data.path {tmp_path} {options}"
    with pytest.raises(ZeroDivisionError):
        cli.main(command.split())
    assert configs[0].model.vocab == vocab


@pytest.mark.parametrize("family", [llama, gemma])
def test_the_loss_and_its_gradients_are_those_of_materialised_logits(family):
    cfg = family.Model(**SIZES | dict(vocab=128))
    params, tokens = core_spec.init(family.spec(cfg), jax.random.key(1)), jnp.asarray(TOKENS)

    def plain(params):
        return next_token_loss(decoder.apply(params, tokens[:, :-1], cfg), tokens)

    def chunked(params):
        return language_model.loss_fn(params, (), tokens, None, decoder.net(cfg))[0]

    ours, theirs = (jax.jit(jax.value_and_grad(loss))(params) for loss in (chunked, plain))
    chex.assert_trees_all_close(ours, theirs, **SAME)


def test_a_training_step_holds_no_logits_of_all_tokens():
    """The temporary memory of a step at a vocabulary where the logits exceed everything else."""
    cfg = dataclasses.replace(CFG, vocab=16_384)
    batch = jax.ShapeDtypeStruct((8, 129), jnp.int32)
    params = core_spec.abstract(llama.spec(cfg))
    logits = 8 * 128 * cfg.vocab * 4

    def temporary(loss):
        compiled = jax.jit(jax.grad(loss)).lower(params, batch).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    plain = temporary(lambda p, b: next_token_loss(decoder.apply(p, b[:, :-1], cfg), b))
    chunked = temporary(lambda p, b: language_model.loss_fn(p, (), b, None, decoder.net(cfg))[0])
    assert plain > 2 * logits and chunked < 0.5 * logits
