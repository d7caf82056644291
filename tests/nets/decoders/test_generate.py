import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.data.tokenizer import Bytes
from panorax.nets.decoders import decoder, llama
from panorax.nets.decoders.generate import decode, generate, stream
from panorax.nets.decoders.llama import Model
from panorax.ops.positions import DynamicNTKRope
from panorax.ops.sampling import Sampling
from panorax.testing.tolerances import MODEL

CFG = Model(vocab=257, d_model=16, n_layers=2, n_heads=4, n_kv_heads=2, d_ff=24)
GREEDY, TOKENS = Sampling(temperature=0.0), Bytes()
KEY = jax.random.key(0)


@functools.cache
def params():
    drawn = core_spec.init(llama.spec(CFG), jax.random.key(1))
    return jax.tree.map(lambda x: 5 * x, drawn)


def pieces(prompts, new, ends):
    options = {"cfg": CFG, "sampling": GREEDY, "chunk": 4}
    return list(decode(params(), prompts, KEY, new=new, ends=ends, **options))


def greedy(prompts, new, ends):
    return np.concatenate(pieces(prompts, new, ends), 1)


def generated(prompts, new):
    return generate(params(), prompts, TOKENS, KEY, new=new, cfg=CFG, sampling=GREEDY)


def test_greedy_tokens_equal_the_argmax_of_the_full_pass():
    prompts = [[TOKENS.end, *TOKENS.encode("ab")], [TOKENS.end, 7, 8, 9, 10]]
    for row, ids in zip(greedy(prompts, 6, (999,)), prompts):
        assert len(row) == 6
        for token in row:
            logits = decoder.apply(params(), jnp.array([ids]), CFG)[0, -1]
            assert int(token) == int(np.argmax(logits))
            ids = [*ids, int(token)]


def test_a_growing_cache_generates_the_same_tokens(monkeypatch):
    prompts = [[256, 3, 4], [256, 5]]
    expected = greedy(prompts, 40, (999,))
    # The room grows from 20 to 40 to 56.
    monkeypatch.setattr("panorax.nets.decoders.generate.SMALLEST_ROOM", 20)
    np.testing.assert_array_equal(greedy(prompts, 40, (999,)), expected)


def test_a_row_stops_at_any_end_token_and_other_rows_continue():
    prompts = [[256, 3], [256, 5]]
    free = greedy(prompts, 8, (999,))
    end = int(free[0, 1])
    stopped = greedy(prompts, 8, (998, end))
    first = int(np.argmax(free[0] == end))
    np.testing.assert_array_equal(stopped[0, : first + 1], free[0, : first + 1])
    assert (stopped[0, first + 1 :] == 998).all()
    if end not in free[1]:
        np.testing.assert_array_equal(stopped[1], free[1])


def test_generation_ends_once_every_row_is_done():
    assert len(pieces([[256, 3]], 64, ends=tuple(range(257)))) == 1


def test_a_stream_grows_to_the_text_of_generate():
    prompts = ["a", "bcd"]
    ids = [TOKENS.prompt(prompt) for prompt in prompts]
    texts = list(stream(params(), ids, TOKENS, KEY, new=40, cfg=CFG, sampling=GREEDY))
    assert len(texts) == 3 and texts[-1] == generated(prompts, 40)
    lengths = np.array([[len(text) for text in row] for row in texts])
    assert (np.diff(lengths, axis=0) >= 0).all()


def test_batched_prompts_generate_the_same_text_as_single_prompts():
    prompts = ["a", "longer prompt", ""]
    assert generated(prompts, 5) == [generated([prompt], 5)[0] for prompt in prompts]


def test_a_full_context_continues_from_its_second_half():
    """Beyond the context, each token is the argmax after the window that the row then has."""
    options = {"cfg": CFG, "sampling": GREEDY, "chunk": 4, "context": 12}
    prompts = [[256, 3, 4], [256, 5, 6, 7, 8]]
    pieces = decode(params(), prompts, KEY, new=20, ends=(999,), **options)
    tokens = np.concatenate(list(pieces), 1)
    assert tokens.shape == (2, 20)
    for prompt, row in zip(prompts, tokens):
        window = list(prompt)
        for n, token in enumerate(row):
            if n % 4 == 0 and len(window) + 4 > 12:
                window = window[-6:]
            logits = decoder.apply(params(), jnp.array([window]), CFG)[0, -1]
            assert int(token) == int(np.argmax(logits))
            window.append(int(token))


@pytest.mark.parametrize("context", [1, 2, 3])
def test_the_smallest_contexts_generate(context):
    options = {"cfg": CFG, "sampling": GREEDY, "ends": (999,), "context": context}
    pieces = decode(params(), [[256, 3], [256]], KEY, new=3, **options)
    tokens = np.concatenate([piece for _, piece in zip(range(9), pieces)], 1)
    assert tokens.shape == (2, 3)
    window = [256, 3][-max(context // 2, 1) :] if context < 3 else [256, 3]
    logits = decoder.apply(params(), jnp.array([window]), CFG)[0, -1]
    assert int(tokens[0, 0]) == int(np.argmax(logits))


def test_a_row_that_is_done_stays_done_when_its_batch_slides():
    prompts = [[256, 3], [256, 5]]
    options = {"cfg": CFG, "sampling": GREEDY, "chunk": 4, "context": 12}
    free = np.concatenate(list(decode(params(), prompts, KEY, new=30, ends=(999,), **options)), 1)
    end = next(int(token) for token in free[0] if token not in free[1])
    first = int(np.argmax(free[0] == end))
    tokens = np.concatenate(
        list(decode(params(), prompts, KEY, new=30, ends=(998, end), **options)), 1
    )
    assert (tokens[0, first + 1 :] == 998).all() and tokens.shape == (2, 30)
    np.testing.assert_array_equal(tokens[1], free[1])


def test_a_context_that_suffices_changes_nothing():
    prompts = [[256, 3, 4], [256, 5]]
    options = {"cfg": CFG, "sampling": Sampling(), "chunk": 4}
    free, bounded = (
        np.concatenate(
            list(decode(params(), prompts, KEY, new=9, ends=(999,), **options, **more)), 1
        )
        for more in ({}, {"context": 12})
    )
    np.testing.assert_array_equal(free, bounded)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_refused(value):
    broken = params() | {"norm": params()["norm"].at[0].set(value)}
    options = {"cfg": CFG, "sampling": GREEDY, "ends": (999,), "new": 4}
    with pytest.raises(UserError, match="logits are not finite"):
        list(decode(broken, [[256, 3]], KEY, **options))


def test_penalties_change_the_tokens_as_they_say():
    def drawn(**options):
        sampling = Sampling(temperature=0.0, **options)
        pieces = decode(
            params(), [[256, 3, 4]], KEY, new=40, ends=(999,), cfg=CFG, sampling=sampling
        )
        return [256, 3, 4, *np.concatenate(list(pieces), 1)[0].tolist()]

    free = drawn()
    pairs = drawn(no_repeat_ngram_size=2)
    assert len({*zip(pairs, pairs[1:])}) == len(pairs) - 1
    assert len({*zip(free, free[1:])}) < len(free) - 1
    banned = tuple(set(free[3:]))
    assert not set(drawn(suppress_tokens=banned)[3:]) & set(banned)
    assert len({*drawn(repetition_penalty=5.0)}) > len({*free})
    with pytest.raises(UserError, match="suppressed token 300 is above the vocabulary 257"):
        sampling = Sampling(suppress_tokens=(300,))
        list(stream(params(), [[3]], TOKENS, KEY, new=1, cfg=CFG, sampling=sampling))


def test_penalties_count_the_prompt():
    prompt, sampling = [256, *range(200)], Sampling(temperature=0.0, no_repeat_ngram_size=1)
    pieces = decode(params(), [prompt], KEY, new=40, ends=(999,), cfg=CFG, sampling=sampling)
    tokens = np.concatenate(list(pieces), 1)[0].tolist()
    assert len({*tokens}) == 40 and not {*tokens} & {*prompt}


def test_each_token_is_drawn_with_its_own_key_when_the_context_is_full():
    blind = jax.tree.map(jnp.zeros_like, params())  # all tokens are equally probable
    options = {"cfg": CFG, "sampling": Sampling(), "ends": (999,), "new": 30, "chunk": 4}
    free, bounded = (
        np.concatenate(list(decode(blind, [[256, 3]], KEY, **options, **more)), 1)
        for more in ({}, {"context": 12})
    )
    np.testing.assert_array_equal(free, bounded)


def test_dynamic_rope_scales_each_row_by_its_own_length():
    cfg = dataclasses.replace(CFG, positions=DynamicNTKRope(factor=4.0, context=4))
    rows, lengths = np.arange(80, dtype=np.int32).reshape(2, 40), np.array([9, 40], np.int32)

    def logits(rows, lengths):
        cache = decoder.empty_cache(cfg, len(rows), 40)
        return decoder.extend(params(), jnp.asarray(rows), jnp.asarray(lengths), cache, cfg)[0]

    together = logits(rows, lengths)
    for b, n in enumerate(lengths):
        alone = logits(rows[b : b + 1, :n], lengths[b : b + 1])
        largest = np.abs(alone).max()
        np.testing.assert_allclose(together[b, :n] / largest, alone[0] / largest, **MODEL)


def test_an_empty_list_of_prompts_is_rejected():
    with pytest.raises(UserError, match="at least one prompt"):
        generated([], 5)


def test_every_sampled_token_has_its_own_key():
    """Without weights all tokens are equally probable; one key would repeat one token."""
    uniform = jax.tree.map(jnp.zeros_like, params())
    sampling = Sampling(temperature=1.0)
    tokens = decode(uniform, [[256]], KEY, new=8, ends=(999,), cfg=CFG, sampling=sampling, chunk=4)
    assert len(np.unique(np.concatenate(list(tokens), 1))) >= 7
