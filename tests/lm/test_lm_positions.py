"""The study of position schemes at its smoke size, and the decay of RoPE."""

import dataclasses

import jax
import numpy as np
from panorax.configs.lm import positions as config

from panorax.core import spec as core_spec
from panorax.lm import positions
from panorax.nets.decoders import decoder


def test_rotations_and_biases_depend_on_distances_alone():
    metrics = positions.relative(jax.random.key(0), config.smoke()).metrics
    assert max(metrics[f"{name}_shift"] for name in ("rope", "alibi", "nope")) < 1e-4
    assert min(metrics[f"{name}_shift"] for name in ("sinusoidal", "learned")) > 1e-3


def test_dynamic_scaling_starts_beyond_the_context():
    cfg = config.smoke()
    params = core_spec.init(decoder.spec(cfg.model), jax.random.key(0))
    schemes = {"rope": cfg.model.positions, "dynamic": positions.scalings(cfg)["dynamic_ntk"]}
    curves = {
        name: positions.perplexities(params, dataclasses.replace(cfg.model, positions=x), cfg)
        for name, x in schemes.items()
    }
    assert [*curves["rope"]] == positions.lengths(cfg) == [16, 32]
    assert curves["rope"][16] == curves["dynamic"][16]
    assert curves["rope"][32] != curves["dynamic"][32]


def test_only_the_bound_of_rope_decays():
    """At full size: the score rises at many distances, and stays below the bound."""
    metrics = positions.decay(None, config.get_config()).metrics
    assert metrics["decay_beyond_bound"] <= 0 and metrics["decay_rising_share"] > 0.2
    assert metrics["decay_largest_return"] > 10 and metrics["decay_bound_fall"] < 0.5
    assert np.isfinite([*metrics.values()]).all()
