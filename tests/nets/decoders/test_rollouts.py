"""Continuations inside a compiled program equal those of generation."""

import functools
import re

import jax
import numpy as np

from panorax.core import spec as core_spec
from panorax.nets.decoders import llama
from panorax.nets.decoders.generate import decode
from panorax.nets.decoders.llama import Model
from panorax.nets.decoders.rollouts import NO_END, continuations
from panorax.ops.sampling import Sampling
from panorax.parallel.sharding import make_mesh, parameter_shardings

CFG = Model(vocab=257, d_model=16, n_layers=2, n_heads=4, n_kv_heads=2, d_ff=24)
KEY = jax.random.key(0)


def test_continuations_are_those_of_generation_and_end_at_an_end_token():
    params = jax.tree.map(lambda x: 5 * x, core_spec.init(llama.spec(CFG), jax.random.key(1)))
    prompts = [[256, 3, 4], [256, 5]]
    options = {"cfg": CFG, "sampling": Sampling(temperature=5.0)}
    keys = jax.random.split(KEY, 2)
    theirs = np.concatenate(
        [
            np.concatenate([*decode(params, [row], key, new=6, ends=NO_END, **options)], 1)
            for row, key in zip(prompts, keys)
        ]
    )
    padded, lengths = np.array([[256, 3, 4, 0], [256, 5, 0, 0]]), np.array([3, 2])
    run = jax.jit(functools.partial(continuations, new=6, **options), static_argnames="ends")
    np.testing.assert_array_equal(run(params, padded, lengths, KEY), theirs)
    end = int(theirs[0, 2])  # the first row ends here, and then repeats the token
    ended = np.asarray(run(params, padded, lengths, KEY, ends=(end,)))
    np.testing.assert_array_equal(ended[0], [*theirs[0, :3], end, end, end])


def test_devices_do_not_communicate_while_they_sample():
    """Every device has all parameters before the loop over tokens; the tokens are the same."""
    mesh = make_mesh("data=2,fsdp=2,tensor=2")
    spec = llama.spec(CFG)
    params = jax.device_put(core_spec.init(spec, KEY), parameter_shardings(spec, mesh))
    prompt, length = np.ones((8, 3), np.int32), np.full(8, 3)
    run = jax.jit(functools.partial(continuations, new=4, cfg=CFG))
    alone = run(jax.device_get(params), prompt, length, KEY)
    with jax.set_mesh(mesh):
        compiled = run.lower(params, prompt, length, KEY).compile()
        np.testing.assert_array_equal(compiled(params, prompt, length, KEY), alone)
    text = compiled.as_text()
    computations = dict(re.findall(r"^%(\S+) \([^\n]*\{\n(.*?)^\}", text, re.M | re.S))
    bodies = set(re.findall(r"body=%([\w.\-]+)", text))
    assert bodies and bodies <= computations.keys()
    inside = [line for name in bodies for line in computations[name].splitlines()]
    assert not [line for line in inside if re.search(r" (all-|collective-)", line)]
