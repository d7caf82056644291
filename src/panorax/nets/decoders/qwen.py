"""Qwen 2 and 3 (arXiv:2407.10671, arXiv:2505.09388): Llama with other projections.

Qwen 2 adds a bias to queries, keys and values. Qwen 3 has no bias and applies an RMS norm to each
head of the queries and keys before rotation.
"""

import functools

import jax

from panorax.core import spec as core_spec
from panorax.core.ranges import checked
from panorax.core.spec import P
from panorax.nets.decoders import heads, llama
from panorax.nets.decoders.heads import Heads
from panorax.nets.decoders.linear import Linear
from panorax.nets.decoders.llama import embed as embed
from panorax.nets.decoders.llama import unembed as unembed
from panorax.ops.norms import rms_norm


@checked
class Model(llama.Model):
    """Llama's sizes and the options of the projections."""

    bias: bool = False
    """learnt bias of queries, keys and values (Qwen 2)"""
    head_norm: bool = True
    """RMS norm of queries and keys over each head (Qwen 3)"""
    attention: Heads | Linear = Heads()
    """attention of each layer: heads (multi-head, grouped-query, multi-query) or linear"""


def spec(cfg: Model):
    """Llama's parameters plus biases and head norms."""
    H, G, K = cfg.n_heads, cfg.n_kv_heads, cfg.head_size
    zeros, ones = jax.nn.initializers.zeros, jax.nn.initializers.ones
    biases = {
        "q_bias": P((H * K,), ("heads",), zeros),
        "k_bias": P((G * K,), ("kv_heads",), zeros),
        "v_bias": P((G * K,), ("kv_heads",), zeros),
    }
    norms = {"q_norm": P((K,), ("head_dim",), ones), "k_norm": P((K,), ("head_dim",), ones)}
    tree = llama.spec(cfg)
    added = (biases if cfg.bias else {}) | (norms if cfg.head_norm else {})
    return tree | {"layers": tree["layers"] | core_spec.stack(added, cfg.n_layers)}


def project(h_BTD, layer, cfg: Model):
    """Queries, keys and values before rotation, with their biases and head norms."""
    q_BTHK, k_BTGK, v_BTGK = heads.projections(h_BTD, layer, cfg)
    if cfg.bias:
        add = lambda x, name: x + layer[name].reshape(1, 1, *x.shape[2:]).astype(x.dtype)
        q_BTHK, k_BTGK, v_BTGK = add(q_BTHK, "q_bias"), add(k_BTGK, "k_bias"), add(v_BTGK, "v_bias")
    if cfg.head_norm:
        q_BTHK = rms_norm(q_BTHK, layer["q_norm"], cfg.norm_eps)
        k_BTGK = rms_norm(k_BTGK, layer["k_norm"], cfg.norm_eps)
    return q_BTHK, k_BTGK, v_BTGK


block = functools.partial(llama.block, project=project)
