"""Gemma 1 and 2 (arXiv:2403.08295, arXiv:2408.00118).

Gemma scales the embedding by sqrt(D), its norms scale by 1 + w, and its gates use GELU.
Gemma 2 also normalises the output of each sublayer:

    x <- x + norm(attention(norm(x))),    x <- x + norm(mlp(norm(x)))

It bounds attention and output logits by cap tanh(x / cap), and alternates layers of windowed and of
full causal attention.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from panorax.core import spec as core_spec
from panorax.core.ranges import Positive, checked
from panorax.core.spec import P
from panorax.nets.decoders import llama
from panorax.nets.decoders.feed_forward import Gated, Plain
from panorax.nets.decoders.heads import Heads
from panorax.nets.decoders.latent import Latent
from panorax.ops.norms import rms_norm
from panorax.ops.unembedding import Unembedding


@checked
class Model(llama.Model):
    """Llama's sizes and the options of Gemma 2."""

    attention: Heads | Latent = Heads()
    """attention of each layer: heads (multi-head, grouped-query, multi-query) or latent"""
    feed_forward: Gated | Plain = Gated("gelu")
    """feed-forward network of each layer, with or without a gate"""
    post_norms: bool = True
    """RMS norm of the output of each sublayer (Gemma 2)"""
    query_scale: Positive | None = None
    """number s in the attention logits q k / sqrt(s); None for the head width K"""
    attention_cap: Positive | None = 50.0
    """soft cap of the attention logits; None disables it"""
    logit_cap: Positive | None = 30.0
    """soft cap of the output logits; None disables it"""


def spec(cfg: Model):
    """Llama's parameters with norm weights w initially 0, plus the norms after the sublayers."""
    zeros = lambda p: dataclasses.replace(p, init=jax.nn.initializers.zeros)
    tree = llama.spec(cfg)
    tree["norm"] = zeros(tree["norm"])
    for name in ("attn_norm", "mlp_norm"):
        tree["layers"][name] = zeros(tree["layers"][name])
    if cfg.post_norms:
        post = zeros(P((cfg.d_model,), ("embed",), None))
        norms = {"attn_post_norm": post, "mlp_post_norm": post}
        tree["layers"] |= core_spec.stack(norms, cfg.n_layers)
    return tree


def norm(x, w, cfg: Model):
    """RMS norm with the scale 1 + w."""
    return rms_norm(x, 1.0 + w, cfg.norm_eps)


def embed(
    params,
    tokens_BT: Int[Array, "B T"] | Float[Array, "B T D"],
    position_BT: Int[Array, "B T"],
    cfg: Model,
) -> Float[Array, "B T D"]:
    """Llama's input times sqrt(D), with sqrt(D) rounded to the compute dtype as in Gemma's code."""
    x_BTD = llama.embed(params, tokens_BT, position_BT, cfg)
    return x_BTD * jnp.asarray(cfg.d_model**0.5, cfg.dtype)


def block(x_BTD, layer, attend, cfg: Model):
    """One layer, as in `panorax.nets.decoders.llama`."""
    post_norm = lambda name, h_BTD: norm(h_BTD, layer[name], cfg) if cfg.post_norms else h_BTD
    scale = cfg.query_scale and cfg.query_scale**-0.5
    h_BTD = norm(x_BTD, layer["attn_norm"], cfg)
    out_BTD, kept = attend(h_BTD, layer, scale=scale, cap=cfg.attention_cap)
    x_BTD = x_BTD + post_norm("attn_post_norm", out_BTD)
    h_BTD = norm(x_BTD, layer["mlp_norm"], cfg)
    return x_BTD + post_norm("mlp_post_norm", cfg.feed_forward.apply(h_BTD, layer)), kept


def unembed(params, x_BTD, cfg: Model) -> Unembedding:
    """Logits from the residual stream, bounded by `logit_cap`."""
    logits = llama.unembed(params | {"norm": 1.0 + params["norm"]}, x_BTD, cfg)
    return logits.replace(cap=cfg.logit_cap)
