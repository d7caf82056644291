"""Random parameters of small decoders, and their loading from a folder."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.interop import hf_weights
from panorax.nets.decoders import decoder, llama, qwen
from panorax.ops.positions import Llama3Rope
from panorax.parallel.sharding import make_mesh, parameter_shardings

SIZES = dict(vocab=24, d_model=16, n_layers=2, n_heads=4, n_kv_heads=2, d_ff=12)
TIED, UNTIED = llama.Model(**SIZES), llama.Model(**SIZES, tied=False)
QWEN = qwen.Model(
    vocab=320,
    d_model=16,
    n_layers=2,
    n_heads=4,
    n_kv_heads=2,
    d_ff=12,
    bias=True,
    head_norm=False,
    positions=Llama3Rope(),
)
Q = "model.layers.1.self_attn.q_proj.weight"


def drawn(cfg, seed=0, dtype=jnp.float32):
    """Random parameters, including norms and biases."""
    declared = core_spec.abstract(decoder.spec(cfg))
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: np.asarray(rng.normal(size=x.shape), dtype), declared)


def load(directory, cfg, mesh="", dtype=None):
    """Parameters of a folder on a mesh."""
    shardings = parameter_shardings(decoder.spec(cfg), make_mesh(mesh))
    return hf_weights.load(directory, cfg, shardings, dtype)


def refused(directory, cfg=UNTIED) -> str:
    """The one-line error for a folder, raised before any of its data is on a device."""
    arrays = len(jax.live_arrays())
    with pytest.raises(UserError) as error:
        load(directory, cfg)
    assert str(error.value).isprintable() and len(jax.live_arrays()) == arrays
    return str(error.value)


def rewrite(path, **changed):
    """Replaces tensors of a safetensors file, and removes those that are None."""
    from safetensors.numpy import load_file, save_file

    tensors = (load_file(path) if path.exists() else {}) | changed
    save_file({name: x for name, x in tensors.items() if x is not None}, path)
