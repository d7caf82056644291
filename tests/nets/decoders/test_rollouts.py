"""Continuations inside a compiled program equal those of generation."""

import functools

import jax
import numpy as np

from panorax.core import spec as core_spec
from panorax.nets.decoders import llama
from panorax.nets.decoders.generate import decode
from panorax.nets.decoders.llama import Model
from panorax.nets.decoders.rollouts import NO_END, continuations
from panorax.ops.sampling import Sampling

CFG = Model(vocab=257, d_model=16, n_layers=2, n_heads=4, n_kv_heads=2, d_ff=24)
KEY = jax.random.key(0)


def test_continuations_are_those_of_generation_and_end_at_an_end_token():
    params = jax.tree.map(lambda x: 5 * x, core_spec.init(llama.spec(CFG), jax.random.key(1)))
    prompts = [[256, 3, 4], [256, 5]]
    options = {"cfg": CFG, "sampling": Sampling(temperature=0.8)}
    theirs = np.concatenate([*decode(params, prompts, KEY, new=6, ends=NO_END, **options)], 1)
    padded, lengths = np.array([[256, 3, 4, 0], [256, 5, 0, 0]]), np.array([3, 2])
    run = jax.jit(functools.partial(continuations, new=6, **options), static_argnames="ends")
    np.testing.assert_array_equal(run(params, padded, lengths, KEY), theirs)
    end = int(theirs[0, 2])  # the first row ends here, and then repeats the token
    ended = np.asarray(run(params, padded, lengths, KEY, ends=(end,)))
    np.testing.assert_array_equal(ended[0], [*theirs[0, :3], end, end, end])
