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


def greedy(prompts, new, ends):
    return np.concatenate(
        list(decode(params(), prompts, KEY, new=new, ends=ends, cfg=CFG, sampling=GREEDY, chunk=4)),
        1,
    )


def test_greedy_equals_the_argmax_of_the_full_pass():
    prompts = [[TOKENS.end, *TOKENS.encode("ab")], [TOKENS.end, 7, 8, 9, 10]]
    for row, ids in zip(greedy(prompts, 6, (999,)), prompts):
        assert len(row) == 6
        for token in row:
            logits = decoder.apply(params(), jnp.array([ids]), CFG)[0, -1]
            assert int(token) == int(np.argmax(logits))
            ids = [*ids, int(token)]


def test_a_cache_that_grows_says_what_a_large_one_says(monkeypatch):
    prompts = [[256, 3, 4], [256, 5]]
    whole = greedy(prompts, 40, (999,))
    monkeypatch.setattr(
        "panorax.nets.decoders.generate.SMALLEST_ROOM", 20
    )  # grown from 20 to 40 and to 56
    np.testing.assert_array_equal(greedy(prompts, 40, (999,)), whole)


def test_a_row_stops_at_any_end_token_and_others_go_on():
    prompts = [[256, 3], [256, 5]]
    free = greedy(prompts, 8, (999,))
    end = int(free[0, 1])
    stopped = greedy(prompts, 8, (998, end))
    first = int(np.argmax(free[0] == end))
    np.testing.assert_array_equal(stopped[0, : first + 1], free[0, : first + 1])
    assert (stopped[0, first + 1 :] == 998).all()
    if end not in free[1]:
        np.testing.assert_array_equal(stopped[1], free[1])


def test_it_stops_when_every_row_is_over():
    pieces = list(
        decode(
            params(),
            [[256, 3]],
            KEY,
            new=64,
            ends=tuple(range(257)),
            cfg=CFG,
            sampling=GREEDY,
            chunk=4,
        )
    )
    assert len(pieces) == 1


def test_a_stream_grows_into_what_generate_returns():
    prompts = ["a", "bcd"]
    texts = list(
        stream(
            params(),
            [TOKENS.prompt(p) for p in prompts],
            TOKENS,
            KEY,
            new=40,
            cfg=CFG,
            sampling=GREEDY,
        )
    )
    assert len(texts) == 3 and texts[-1] == generate(
        params(), prompts, TOKENS, KEY, new=40, cfg=CFG, sampling=GREEDY
    )
    assert all(
        len(before) <= len(after)
        for one, next in zip(texts, texts[1:])
        for before, after in zip(one, next)
    )


def test_batched_prompts_equal_single_ones():
    prompts = ["a", "longer prompt", ""]
    together = generate(params(), prompts, TOKENS, KEY, new=5, cfg=CFG, sampling=GREEDY)
    assert together == [
        generate(params(), [p], TOKENS, KEY, new=5, cfg=CFG, sampling=GREEDY)[0] for p in prompts
    ]


def test_nothing_to_do_is_said():
    with pytest.raises(UserError, match="at least one prompt"):
        generate(params(), [], TOKENS, KEY, new=5, cfg=CFG, sampling=GREEDY)
