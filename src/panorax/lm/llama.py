"""Llama: a decoder-only language model (Touvron et al. 2023, arXiv:2302.13971 and 2307.09288; Llama 3, arXiv:2407.21783).

Every layer reads the residual stream through an RMS norm and adds to it, attention first, then the gated feed-forward network:

    x <- x + W_o attention(rope(W_q h), rope(W_k h), W_v h),    h = rms_norm(x)
    x <- x + W_down (silu(W_gate h) * W_up h),                  h = rms_norm(x)

Groups of H / G query heads share a key/value head. Trained to predict the next token: the loss is the cross entropy in nats per token;
bits per byte of held-out documents is the same in a unit that does not depend on the tokenizer. Windows of training text run across
the ends of documents, with nothing masked. The output projection is tied to the embedding unless told otherwise; Llama 1 to 3 8B have their own.
"""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from panorax.core import data
from panorax.core import spec as core_spec
from panorax.core.config import Run
from panorax.core.optim import AdamW, optimizer
from panorax.core.ranges import Count, Positive, Whole, check
from panorax.core.spec import P
from panorax.core.state import State, System
from panorax.core.step import update
from panorax.interop import hf_weights
from panorax.lm.report import report
from panorax.lm.text import Text, dataset
from panorax.nets import decoder
from panorax.ops.dot import dot
from panorax.ops.losses import cross_entropy
from panorax.ops.norms import rms_norm
from panorax.ops.positions import Rope
from panorax.ops.sampling import Sampling


@dataclass(frozen=True)
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
        check(self)
        if self.head_dim is None and self.d_model % (2 * self.n_heads):
            raise ValueError(f"model.d-model {self.d_model} must be an even multiple of model.n-heads {self.n_heads}, or model.head-dim given")
        if self.head_size % 2 or not self.windows:
            raise ValueError(f"model.head-dim {self.head_size} must be even, and model.windows not empty")
        if self.n_heads % self.n_kv_heads:
            raise ValueError(f"model.n-kv-heads {self.n_kv_heads} must divide model.n-heads {self.n_heads}")

    @property
    def head_size(self) -> int:
        """Width of a head [K]."""
        return self.head_dim or self.d_model // self.n_heads


@dataclass(frozen=True)
class Config:
    model: Model = Model()
    data: Text = Text()
    optim: AdamW = AdamW()
    run: Run = Run()
    batch: Count = 16
    """sequences per step [B]"""
    context: Count = 128
    """tokens predicted in each [T]"""
    stride: Count = 64
    """tokens between the starts of held-out windows, at most the context: a smaller one gives every prediction more to read"""
    accumulate: Count = 1
    """micro-batches the batch is cut into, one in memory at a time"""
    init_from: str | None = None
    """a Hugging Face folder of this model whose weights the training starts from, instead of random ones"""
    sampling: Sampling = Sampling(temperature=0.7, top_p=0.95)
    """of the text printed at the end"""

    def __post_init__(self):
        check(self)
        if not 1 <= self.stride <= self.context or self.batch % self.accumulate:
            raise ValueError(f"stride must lie between 1 and context {self.context}, and accumulate must divide batch {self.batch}")


def spec(cfg: Model):
    """Every parameter; those of the layers are stacked along L."""
    D, H, G, K, F = cfg.d_model, cfg.n_heads, cfg.n_kv_heads, cfg.head_size, cfg.d_ff
    normal, ones = jax.nn.initializers.normal(D**-0.5), jax.nn.initializers.ones
    to_residual = jax.nn.initializers.normal((2 * cfg.n_layers * D) ** -0.5)  # smaller by the root of the 2 L sums, as in GPT-2
    layer = {
        "attn_norm": P((D,), ("embed",), ones),
        "q": P((D, H, K), ("embed", "heads", None), normal),
        "k": P((D, G, K), ("embed", "kv_heads", None), normal),
        "v": P((D, G, K), ("embed", "kv_heads", None), normal),
        "o": P((H, K, D), ("heads", None, "embed"), to_residual),
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
    return x_BTD + dot(jax.nn.silu(dot(h_BTD, layer["gate"])) * dot(h_BTD, layer["up"]), layer["down"]), cache


def unembed(params, x_BTD, cfg: Model) -> Float[Array, "B T V"]:
    """Logits in float32 from the residual stream."""
    h_BTD = rms_norm(x_BTD, params["norm"], cfg.norm_eps)
    w_DV = params["embed"].T if cfg.tied else params["head"]
    return dot(h_BTD, w_DV.astype(h_BTD.dtype), dtype=jnp.float32)


def loss_fn(params, extra, batch: Int[Array, "B T1"], key, cfg: Config):
    """Mean cross entropy of tokens 1 .. T of the T + 1 in a row, given those before each, in nats."""
    logits_BTV = decoder.apply(params, batch[:, :-1], cfg.model)
    return jnp.mean(cross_entropy(logits_BTV, batch[:, 1:])), (extra, {})


def transformation(cfg: Config):
    """AdamW; matrices decay, norm scales do not."""
    return optimizer(cfg.optim, cfg.run.steps, core_spec.matrices(decoder.spec(cfg.model)))


def train_step(state: State, batch: Int[Array, "B T1"], key, cfg: Config):
    """One update of AdamW."""
    state, metrics = update(functools.partial(loss_fn, cfg=cfg), transformation(cfg), state, batch, key, cfg.accumulate)
    return state.replace(step=state.step + 1), metrics


def evaluate(state: State, batch, key, cfg: Config):
    """Loss per token and bits per byte over the held-out documents, every token predicted once; each document's end counts as a byte."""

    def nats(rows_BT1, weight_BT):
        return jnp.sum(cross_entropy(decoder.apply(state.params, rows_BT1[:, :-1], cfg.model), rows_BT1[:, 1:]) * weight_BT)

    total = jnp.sum(jax.lax.map(lambda rows: nats(*rows), (batch["rows"], batch["weights"])))
    return {
        "eval_loss": total / jnp.sum(batch["weights"]),
        "eval_bits_per_byte": total / jnp.log(2.0) / batch["bytes"],
    }


def init_state(key, cfg: Config) -> State:
    """Fresh parameters and optimiser."""
    params = core_spec.init(decoder.spec(cfg.model), key)
    return State(params, transformation(cfg).init(params), (), jnp.int32(0))


def system(cfg: Config) -> System:
    """The model on the text of the config."""
    text = functools.cache(lambda: dataset(cfg.data, cfg.model.vocab))
    return System(
        spec=decoder.spec(cfg.model),
        init_state=functools.partial(init_state, cfg=cfg),
        train_step=functools.partial(train_step, cfg=cfg),
        evaluate=functools.partial(evaluate, cfg=cfg),
        batch=jax.ShapeDtypeStruct((cfg.batch, cfg.context + 1), jnp.int32),
        batches=lambda step: data.windows(text().train, cfg.batch, cfg.context + 1, cfg.run.seed, step),
        held_out=lambda: text().held_out_batch(cfg.batch, cfg.context, cfg.stride),
        report=lambda state, key: report(state.params, text(), key, cfg),
        files=lambda: text().files(),
        pretrained=cfg.init_from and (lambda shardings: hf_weights.load(Path(cfg.init_from), cfg.model, shardings, jnp.float32)),
    )
