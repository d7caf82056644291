"""Llama: a decoder-only Transformer.

Each layer adds attention and a gated feed-forward network to the residual stream x:

    x <- x + W_o attention(rope(W_q h), rope(W_k h), W_v h),    h = rms_norm(x)
    x <- x + W_down (silu(W_gate h) * W_up h),                  h = rms_norm(x)

Each group of H / G query heads shares one key/value head. With `tied`, the output projection is the
transposed embedding; Llama 1, Llama 2 and Llama 3 8B have a separate output projection.
Source: Touvron et al. 2023, arXiv:2302.13971 and 2307.09288; Llama 3, arXiv:2407.21783.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from panorax.core import spec as core_spec
from panorax.core.ranges import Count, Positive, Whole, checked
from panorax.core.spec import P
from panorax.ops.dot import dot
from panorax.ops.gates import swiglu
from panorax.ops.norms import rms_norm
from panorax.ops.positions import Rope


@checked
class Model:
    """Sizes of the model, with the letters of CONVENTIONS.md."""

    vocab: Count = 4096
    """size of the vocabulary, in tokens [V]"""
    d_model: Count = 128
    """width of the residual stream [D]"""
    n_layers: Count = 4
    """number of layers, each of attention and a feed-forward network [L]"""
    n_heads: Count = 4
    """number of query heads [H]"""
    n_kv_heads: Count = 2
    """number of key/value heads [G]"""
    d_ff: Count = 384
    """hidden width of the feed-forward network [F]"""
    head_dim: Count | None = None
    """width of a head; None for d_model / n_heads [K]"""
    rope: Rope = Rope()
    """rotary position embedding of queries and keys"""
    windows: tuple[Whole, ...] = (0,)
    """attention window of each layer in tokens, the query included, 0 for unlimited; repeated over
    the layers"""
    norm_eps: Positive = 1e-5
    """constant added to the mean square in each RMS norm"""
    tied: bool = True
    """output projection shared with the embedding"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """dtype of activations and matrix products; parameters, norms, softmax and loss are float32"""
    remat: Literal["none", "products", "layers"] = "none"
    """values that the backward pass recomputes: none; all except products with weights (products);
    all except the inputs of the layers, (L, B, T, D) in total (layers)"""
    unroll: Count = 1
    """layers per iteration of the scan; larger values run faster and compile more slowly"""

    def __post_init__(self):
        heads = f"model.n-heads {self.n_heads}"
        if self.head_dim is None and self.d_model % (2 * self.n_heads):
            raise ValueError(
                f"model.d-model {self.d_model} must be an even multiple of {heads}, "
                "or model.head-dim given"
            )
        if self.head_size % 2 or not self.windows:
            raise ValueError(
                f"model.head-dim {self.head_size} must be even, and model.windows not empty"
            )
        if len(self.windows) > self.n_layers:
            raise ValueError(
                f"model.windows has {len(self.windows)} windows for {self.n_layers} layers; give "
                "at most one per layer"
            )
        if self.n_heads % self.n_kv_heads:
            raise ValueError(f"model.n-kv-heads {self.n_kv_heads} must divide {heads}")

    @property
    def head_size(self) -> int:
        """Width of a head [K]."""
        return self.head_dim or self.d_model // self.n_heads


def spec(cfg: Model):
    """All parameters, with the layers stacked along L.

    As in GPT-2, the initial standard deviation of `o` and `down` is divided by sqrt(2 L),
    because the residual stream sums 2 L branches.
    """
    D, H, G, K, F = cfg.d_model, cfg.n_heads, cfg.n_kv_heads, cfg.head_size, cfg.d_ff
    normal, ones = jax.nn.initializers.normal(D**-0.5), jax.nn.initializers.ones
    to_residual = jax.nn.initializers.normal((2 * cfg.n_layers * D) ** -0.5)
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


OUT_OF_RANGE = None
"""mode of `x.at[ids].get` for ids outside the vocabulary: None clips them. The tests set "fill",
which makes their embeddings NaN."""


def embed(
    params, tokens_BT: Int[Array, "B T"] | Float[Array, "B T D"], cfg: Model
) -> Float[Array, "B T D"]:
    """Embeddings of the tokens, the input of the first layer; embeddings themselves are kept."""
    if jnp.issubdtype(tokens_BT.dtype, jnp.floating):
        return tokens_BT.astype(cfg.dtype)
    return params["embed"].at[tokens_BT].get(mode=OUT_OF_RANGE).astype(cfg.dtype)


def project(h_BTD, layer, cfg: Model):
    """Queries (B, T, H, K) before rotation; keys before rotation and values, (B, T, G, K)."""
    q_BTHK = dot(h_BTD, layer["q"])
    k_BTGK = dot(h_BTD, layer["k"])
    v_BTGK = dot(h_BTD, layer["v"])
    return q_BTHK, k_BTGK, v_BTGK


def block(x_BTD, layer, rotate, attend, cfg: Model, project=project):
    """One layer. Returns its output and the cache that `attend` returned.

    rotate: function that applies positions to queries or keys.
    attend: function (q, k, v) -> (values, cache).
    project: function (h, layer, cfg) -> (q, k, v).
    """
    h_BTD = rms_norm(x_BTD, layer["attn_norm"], cfg.norm_eps)
    q_BTHK, k_BTGK, v_BTGK = project(h_BTD, layer, cfg)
    out_BTHK, cache = attend(rotate(q_BTHK), rotate(k_BTGK), v_BTGK)
    x_BTD = x_BTD + dot(out_BTHK, layer["o"], 2)
    h_BTD = rms_norm(x_BTD, layer["mlp_norm"], cfg.norm_eps)
    inner_BTF = swiglu(dot(h_BTD, layer["gate"]), dot(h_BTD, layer["up"]))
    return x_BTD + dot(inner_BTF, layer["down"]), cache


def unembed(params, x_BTD, cfg: Model) -> Float[Array, "B T V"]:
    """Float32 logits from the residual stream."""
    h_BTD = rms_norm(x_BTD, params["norm"], cfg.norm_eps)
    w_DV = params["embed"].T if cfg.tied else params["head"]
    return dot(h_BTD, w_DV.astype(h_BTD.dtype), dtype=jnp.float32)
