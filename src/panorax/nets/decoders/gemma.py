"""Gemma 1 and 2 (arXiv:2403.08295, arXiv:2408.00118): the embedding scaled by sqrt(D), norms whose scale is 1 + w, a GELU gate.

Gemma 2 also normalises what each sublayer adds, bounds attention logits and output logits by cap tanh(x / cap), and alternates layers
that see a window with layers that see everything:

    x <- x + norm(attention(norm(x))),    x <- x + norm(mlp(norm(x)))
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from panorax.core import spec as core_spec
from panorax.core.ranges import Positive, checked
from panorax.core.spec import P
from panorax.nets.decoders import llama
from panorax.ops.attention import soft_cap
from panorax.ops.dot import dot
from panorax.ops.norms import rms_norm


@checked
class Model(llama.Model):
    """Llama's sizes, and what Gemma 2 adds."""

    post_norms: bool = True
    """normalise what each sublayer adds (Gemma 2)"""
    query_scale: Positive | None = None
    """attention logits are q k / sqrt(query_scale), None for the head's width"""
    attention_cap: Positive | None = 50.0
    """bound of attention logits, None for none"""
    logit_cap: Positive | None = 30.0
    """bound of output logits, None for none"""


def spec(cfg: Model):
    """Llama's parameters with norm scales that start at 0, for 1 + w multiplies, and the norms after the sublayers."""
    zeros = lambda p: dataclasses.replace(p, init=jax.nn.initializers.zeros)
    tree = llama.spec(cfg)
    tree["norm"] = zeros(tree["norm"])
    for name in ("attn_norm", "mlp_norm"):
        tree["layers"][name] = zeros(tree["layers"][name])
    if cfg.post_norms:
        post = zeros(P((cfg.d_model,), ("embed",), None))
        tree["layers"] |= core_spec.stack(
            {"attn_post_norm": post, "mlp_post_norm": post}, cfg.n_layers
        )
    return tree


def norm(x, w, cfg: Model):
    """RMS norm with the scale 1 + w."""
    return rms_norm(x, 1.0 + w, cfg.norm_eps)


def embed(params, tokens_BT: Int[Array, "B T"], cfg: Model) -> Float[Array, "B T D"]:
    """The embedding times sqrt(D), which is rounded to the compute dtype first, as where the weights come from."""
    return params["embed"][tokens_BT].astype(cfg.dtype) * jnp.asarray(cfg.d_model**0.5, cfg.dtype)


def block(x_BTD, layer, rotate, attend, cfg: Model):
    """One layer, as in `panorax.nets.decoders.llama`."""
    after = lambda name, h_BTD: norm(h_BTD, layer[name], cfg) if cfg.post_norms else h_BTD
    h_BTD = norm(x_BTD, layer["attn_norm"], cfg)
    q_BTHK, k_BTGK, v_BTGK = llama.project(h_BTD, layer, cfg)
    scale = (cfg.query_scale or cfg.head_size) ** -0.5
    out_BTHK, cache = attend(
        rotate(q_BTHK), rotate(k_BTGK), v_BTGK, scale=scale, cap=cfg.attention_cap
    )
    x_BTD = x_BTD + after("attn_post_norm", dot(out_BTHK, layer["o"], 2))
    h_BTD = norm(x_BTD, layer["mlp_norm"], cfg)
    return x_BTD + after(
        "mlp_post_norm",
        dot(jax.nn.gelu(dot(h_BTD, layer["gate"])) * dot(h_BTD, layer["up"]), layer["down"]),
    ), cache


def unembed(params, x_BTD, cfg: Model) -> Float[Array, "B T V"]:
    """Logits in float32 from the residual stream."""
    return soft_cap(
        llama.unembed(params | {"norm": 1.0 + params["norm"]}, x_BTD, cfg), cfg.logit_cap
    )
