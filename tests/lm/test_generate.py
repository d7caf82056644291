import functools

import jax
import numpy as np
import pytest

from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.lm import llama
from panorax.lm.generate import decode, generate
from panorax.lm.llama import Model
from panorax.lm.tokenizer import Bytes
from panorax.ops.sampling import Sampling

CFG = Model(vocab=257, d_model=16, n_layers=2, n_heads=4, n_kv_heads=2, d_ff=24)
GREEDY, TOKENS = Sampling(temperature=0.0), Bytes()
KEY = jax.random.key(0)


@functools.cache
def params():
    drawn = core_spec.init(llama.spec(CFG), jax.random.key(1))
    return jax.tree.map(lambda x: 5 * x, drawn)


def test_greedy_equals_the_argmax_of_the_full_pass():
    prompt = [TOKENS.end, *TOKENS.encode("ab")]
    padded = np.array([prompt + [0, 0], [TOKENS.end, 7, 8, 9, 10]], np.int32)
    new = decode(params(), padded, np.array([3, 5], np.int32), KEY, new=4, end=999, cfg=CFG, sampling=GREEDY)
    for row, ids in zip(np.asarray(new), [prompt, list(padded[1])]):
        for token in row:
            logits = llama.apply(params(), np.array([ids], np.int32), CFG)[0, -1]
            assert int(token) == int(np.argmax(logits))
            ids = [*ids, int(token)]


def test_a_row_stops_at_the_end_token_and_others_go_on():
    padded, lengths = np.array([[256, 3], [256, 5]], np.int32), np.array([2, 2], np.int32)
    free = np.asarray(decode(params(), padded, lengths, KEY, new=4, end=999, cfg=CFG, sampling=GREEDY))
    end = int(free[0, 1])
    stopped = np.asarray(decode(params(), padded, lengths, KEY, new=4, end=end, cfg=CFG, sampling=GREEDY))
    first = int(np.argmax(free[0] == end))
    assert (stopped[0, first:] == end).all()
    if end not in free[1]:
        np.testing.assert_array_equal(stopped[1], free[1])


def test_batched_prompts_equal_single_ones():
    prompts = ["a", "longer prompt", ""]
    together = generate(params(), prompts, TOKENS, KEY, new=5, cfg=CFG, sampling=GREEDY)
    assert together == [generate(params(), [p], TOKENS, KEY, new=5, cfg=CFG, sampling=GREEDY)[0] for p in prompts]


def test_nothing_to_do_is_said():
    with pytest.raises(UserError, match="at least one prompt"):
        generate(params(), [], TOKENS, KEY, new=5, cfg=CFG, sampling=GREEDY)
