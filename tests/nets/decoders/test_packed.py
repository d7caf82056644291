"""Rows of several texts: each text has the logits and the gradients that it has alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core import spec as core_spec
from panorax.data import packing
from panorax.data.packing import Example
from panorax.nets.decoders import decoder, llama, packed, qwen
from panorax.testing.tolerances import SAME

SIZES = {"vocab": 31, "d_model": 16, "n_layers": 2, "n_heads": 2, "n_kv_heads": 1, "d_ff": 8}
RNG = np.random.default_rng(0)
TEXTS = [
    Example(RNG.integers(1, 31, n), [False] * (n // 2) + [True] * (n - n // 2)) for n in (5, 4, 7)
]


@pytest.mark.parametrize("cfg", [llama.Model(**SIZES, windows=(3, 0)), qwen.Model(**SIZES)])
def test_a_packed_text_is_computed_as_alone(cfg):
    rows = jax.tree.map(jnp.asarray, packing.pack(TEXTS, 9))
    assert len(rows["tokens"]) == 2
    net = packed.net(cfg)
    params = core_spec.init(net.spec, jax.random.key(1))
    logits = lambda x: net.apply(params, (), x["tokens"], x["segments"], x["positions"])[0].logits()
    whole = logits(rows)
    for i, row in enumerate(zip(rows["tokens"], rows["segments"])):
        tokens, segments = row
        for n in range(1, segments.max() + 1):
            alone = decoder.apply(params, tokens[segments == n][None], cfg)
            np.testing.assert_allclose(whole[i][segments == n], alone[0], **SAME)


def test_a_text_does_not_change_with_its_neighbours():
    net = packed.net(llama.Model(**SIZES))
    params = core_spec.init(net.spec, jax.random.key(1))
    rows = jax.tree.map(jnp.asarray, packing.pack(TEXTS[:2], 9))

    @jax.jit
    def of_first(embeddings):
        read = rows["segments"], rows["positions"]
        x = net.apply(params, (), embeddings, *read)[0].x
        return jnp.sum(jnp.where((rows["segments"] == 1)[..., None], x, 0))

    gradient = jax.grad(of_first)(params["embed"][rows["tokens"]])
    size = jnp.max(jnp.abs(gradient), -1)
    assert (size[rows["segments"] == 1] > 0).all()
    assert (size[rows["segments"] != 1] == 0).all() and rows["segments"].max() == 2
