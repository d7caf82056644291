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
from panorax.ops.sampling import Sampling

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


def test_an_empty_list_of_prompts_is_rejected():
    with pytest.raises(UserError, match="at least one prompt"):
        generated([], 5)


def test_every_sampled_token_has_its_own_key():
    """Without weights all tokens are equally probable; one key would repeat one token."""
    uniform = jax.tree.map(jnp.zeros_like, params())
    sampling = Sampling(temperature=1.0)
    tokens = decode(uniform, [[256]], KEY, new=8, ends=(999,), cfg=CFG, sampling=sampling, chunk=4)
    assert len(np.unique(np.concatenate(list(tokens), 1))) >= 7
