"""Llama: a decoder-only Transformer.

Each layer adds attention and a gated feed-forward network to the residual stream x:

    x <- x + W_o attention(rope(W_q h), rope(W_k h), W_v h),    h = rms_norm(x)
    x <- x + W_down (silu(W_gate h) * W_up h),                  h = rms_norm(x)

Each group of H / G query heads shares one key/value head. With `tied`, the output projection is the
transposed embedding; Llama 1, Llama 2 and Llama 3 8B have a separate output projection. The config
names the positions, the attention and the feed-forward network; the defaults are Llama's.
Source: Touvron et al. 2023, arXiv:2302.13971 and 2307.09288; Llama 3, arXiv:2407.21783.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from panorax.core import spec as core_spec
from panorax.core.ranges import Count, Positive, Whole, checked
from panorax.core.spec import P
from panorax.nets.decoders.cache import Exact, Int8
from panorax.nets.decoders.feed_forward import Gated, Plain
from panorax.nets.decoders.heads import Heads
from panorax.nets.decoders.latent import Latent
from panorax.nets.decoders.linear import Linear
from panorax.ops.norms import rms_norm
from panorax.ops.positions import (
    Alibi,
    DynamicNTKRope,
    Learned,
    LinearRope,
    Llama3Rope,
    NoPE,
    Rope,
    Sinusoidal,
    YarnRope,
)
from panorax.ops.unembedding import Unembedding


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
    positions: (
        Rope
        | LinearRope
        | DynamicNTKRope
        | YarnRope
        | Llama3Rope
        | Learned
        | Sinusoidal
        | Alibi
        | NoPE
    ) = Rope()
    """scheme by which tokens know their positions"""
    attention: Heads | Latent | Linear = Heads()
    """attention of each layer: heads (multi-head, grouped-query, multi-query), latent or linear"""
    feed_forward: Gated | Plain = Gated()
    """feed-forward network of each layer, with or without a gate"""
    cache: Exact | Int8 = Exact()
    """form of the numbers in the cache of generation"""
    windows: tuple[Whole, ...] = (0,)
    """attention window of each layer in tokens, the query included, 0 for unlimited; repeated over
    the layers"""
    sinks: Whole = 0
    """first tokens that every later token attends to, whatever its window"""
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
        self.attention.check(self)

    @property
    def head_size(self) -> int:
        """Width of a head [K]."""
        return self.head_dim or self.d_model // self.n_heads


def spec(cfg: Model):
    """All parameters, with the layers stacked along L.

    As in GPT-2, the initial standard deviation of `o` and `down` is divided by sqrt(2 L),
    because the residual stream sums 2 L branches.
    """
    D, normal, ones = cfg.d_model, jax.nn.initializers.normal, jax.nn.initializers.ones
    to_residual = normal((2 * cfg.n_layers * D) ** -0.5)
    layer = {
        "attn_norm": P((D,), ("embed",), ones),
        **cfg.attention.spec(cfg, to_residual),
        "mlp_norm": P((D,), ("embed",), ones),
        **cfg.feed_forward.spec(cfg, to_residual),
    }
    head = {} if cfg.tied else {"head": P((D, cfg.vocab), ("embed", "vocab"), normal(D**-0.5))}
    return {
        "embed": P((cfg.vocab, D), ("vocab", "embed"), normal(D**-0.5)),
        **cfg.positions.spec(D),
        "layers": core_spec.stack(layer, cfg.n_layers),
        "norm": P((D,), ("embed",), ones),
        **head,
    }


OUT_OF_RANGE = None
"""mode of `x.at[ids].get` for ids outside the vocabulary: None clips them. The tests set "fill",
which makes their embeddings NaN."""


def embed(
    params,
    tokens_BT: Int[Array, "B T"] | Float[Array, "B T D"],
    position_BT: Int[Array, "B T"],
    cfg: Model,
) -> Float[Array, "B T D"]:
    """The input of the first layer: embeddings of the tokens with the positions that are added.

    Embeddings in place of tokens are used as they are.
    """
    if jnp.issubdtype(tokens_BT.dtype, jnp.floating):
        x_BTD = tokens_BT.astype(cfg.dtype)
    else:
        x_BTD = params["embed"].at[tokens_BT].get(mode=OUT_OF_RANGE).astype(cfg.dtype)
    return cfg.positions.added(params, x_BTD, position_BT)


def block(x_BTD, layer, attend, cfg: Model, **options):
    """One layer. Returns its output and what `attend` keeps.

    attend: function (h, layer, **options) -> (output, what is kept).
    """
    h_BTD = rms_norm(x_BTD, layer["attn_norm"], cfg.norm_eps)
    out_BTD, kept = attend(h_BTD, layer, **options)
    x_BTD = x_BTD + out_BTD
    h_BTD = rms_norm(x_BTD, layer["mlp_norm"], cfg.norm_eps)
    return x_BTD + cfg.feed_forward.apply(h_BTD, layer), kept


def unembed(params, x_BTD, cfg: Model) -> Unembedding:
    """Logits from the residual stream."""
    h_BTD = rms_norm(x_BTD, params["norm"], cfg.norm_eps)
    return Unembedding(h_BTD, params["embed"].T if cfg.tied else params["head"])
