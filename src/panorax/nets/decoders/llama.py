"""Llama: a decoder-only Transformer (Touvron et al. 2023, arXiv:2302.13971 and 2307.09288; Llama 3, arXiv:2407.21783).

Every layer normalises the residual stream with RMSNorm and adds to it, attention first, then the gated feed-forward network:

    x <- x + W_o attention(rope(W_q h), rope(W_k h), W_v h),    h = rms_norm(x)
    x <- x + W_down (silu(W_gate h) * W_up h),                  h = rms_norm(x)

Groups of H / G query heads share one key/value head. With `tied` the output projection is the transposed embedding;
Llama 1, 2 and 3 8B have a separate one.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from panorax.core import spec as core_spec
from panorax.core.ranges import Count, Positive, Whole, checked
from panorax.core.spec import P
from panorax.ops.dot import dot
from panorax.ops.norms import rms_norm
from panorax.ops.positions import Rope


@checked
class Model:
    """Sizes, in the letters of CONVENTIONS.md."""

    vocab: Count = 4096
    """tokens [V]"""
    d_model: Count = 128
    """width of the residual stream [D]"""
    n_layers: Count = 4
    """blocks of attention and feed-forward network [L]"""
    n_heads: Count = 4
    """query heads [H]"""
    n_kv_heads: Count = 2
    """key/value heads [G]"""
    d_ff: Count = 384
    """hidden width of the feed-forward network [F]"""
    head_dim: Count | None = None
    """width of a head [K], None for d_model / n_heads"""
    rope: Rope = Rope()
    """how queries and keys are turned by their positions"""
    windows: tuple[Whole, ...] = (0,)
    """keys that a layer attends to, its own position included, 0 for all before it; one a layer, repeated over the layers"""
    norm_eps: Positive = 1e-5
    """added to the mean square"""
    tied: bool = True
    """the output projection is the embedding, transposed"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """of activations and matrix products; parameters, norms, softmax and loss are float32"""
    remat: Literal["none", "products", "layers"] = "none"
    """recomputed in the backward pass: nothing; all but products with weights; all but the input of each layer, (L, B, T, D) in all"""
    unroll: Count = 1
    """layers in one turn of the scan: more of them run faster and compile slower"""

    def __post_init__(self):
        if self.head_dim is None and self.d_model % (2 * self.n_heads):
            raise ValueError(
                f"model.d-model {self.d_model} must be an even multiple of model.n-heads {self.n_heads}, or model.head-dim given"
            )
        if self.head_size % 2 or not self.windows:
            raise ValueError(
                f"model.head-dim {self.head_size} must be even, and model.windows not empty"
            )
        if self.n_heads % self.n_kv_heads:
            raise ValueError(
                f"model.n-kv-heads {self.n_kv_heads} must divide model.n-heads {self.n_heads}"
            )

    @property
    def head_size(self) -> int:
        """Width of a head [K]."""
        return self.head_dim or self.d_model // self.n_heads


def spec(cfg: Model):
    """Every parameter; those of the layers are stacked along L."""
    D, H, G, K, F = cfg.d_model, cfg.n_heads, cfg.n_kv_heads, cfg.head_size, cfg.d_ff
    normal, ones = jax.nn.initializers.normal(D**-0.5), jax.nn.initializers.ones
    to_residual = jax.nn.initializers.normal(
        (2 * cfg.n_layers * D) ** -0.5
    )  # smaller by the root of the 2 L sums, as in GPT-2
    layer = {
        "attn_norm": P((D,), ("embed",), ones),
        "q": P((D, H, K), ("embed", "heads", "head_dim"), normal, outputs=2),
        "k": P((D, G, K), ("embed", "kv_heads", "head_dim"), normal, outputs=2),
        "v": P((D, G, K), ("embed", "kv_heads", "head_dim"), normal, outputs=2),
        "o": P((H, K, D), ("heads", "head_dim", "embed"), to_residual),
        "mlp_norm": P((D,), ("embed",), ones),
        "gate": P((D, F), ("embed", "mlp"), normal),
        "up": P((D, F), ("embed", "mlp"), normal),
        "down": P((F, D), ("mlp", "embed"), to_residual),
    }
    head = {} if cfg.tied else {"head": P((D, cfg.vocab), ("embed", "vocab"), normal)}
    return {
        "embed": P((cfg.vocab, D), ("vocab", "embed"), normal),
        "layers": core_spec.stack(layer, cfg.n_layers),
        "norm": P((D,), ("embed",), ones),
        **head,
    }


def embed(params, tokens_BT: Int[Array, "B T"], cfg: Model) -> Float[Array, "B T D"]:
    """The residual stream that the first block reads."""
    return params["embed"][tokens_BT].astype(cfg.dtype)


def project(h_BTD, layer, cfg: Model):
    """Queries, keys and values, before they are turned."""
    q_BTHK = dot(h_BTD, layer["q"])
    k_BTGK = dot(h_BTD, layer["k"])
    v_BTGK = dot(h_BTD, layer["v"])
    return q_BTHK, k_BTGK, v_BTGK


def block(x_BTD, layer, rotate, attend, cfg: Model, project=project):
    """One layer; `rotate` turns by position, `attend(q, k, v) -> (values, cache)` says what is attended to. The cache is returned unchanged."""
    h_BTD = rms_norm(x_BTD, layer["attn_norm"], cfg.norm_eps)
    q_BTHK, k_BTGK, v_BTGK = project(h_BTD, layer, cfg)
    out_BTHK, cache = attend(rotate(q_BTHK), rotate(k_BTGK), v_BTGK)
    x_BTD = x_BTD + dot(out_BTHK, layer["o"], 2)
    h_BTD = rms_norm(x_BTD, layer["mlp_norm"], cfg.norm_eps)
    return x_BTD + dot(
        jax.nn.silu(dot(h_BTD, layer["gate"])) * dot(h_BTD, layer["up"]), layer["down"]
    ), cache


def unembed(params, x_BTD, cfg: Model) -> Float[Array, "B T V"]:
    """Logits in float32 from the residual stream."""
    h_BTD = rms_norm(x_BTD, params["norm"], cfg.norm_eps)
    w_DV = params["embed"].T if cfg.tied else params["head"]
    return dot(h_BTD, w_DV.astype(h_BTD.dtype), dtype=jnp.float32)
