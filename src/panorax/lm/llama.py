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
from typing import Literal

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from panorax.core import data
from panorax.core import spec as core_spec
from panorax.core.config import Run
from panorax.core.optim import AdamW, optimizer
from panorax.core.ranges import Count, Positive, check
from panorax.core.spec import P
from panorax.core.state import State, System
from panorax.core.step import update
from panorax.lm.report import report
from panorax.lm.text import Text, dataset
from panorax.ops.attention import attention, causal_mask
from panorax.ops.losses import cross_entropy
from panorax.ops.norms import rms_norm
from panorax.ops.positions import rope, rope_frequencies
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
    rope_theta: Positive = 10_000.0
    """pair i of a head turns by theta^(-2i / K) radians per position"""
    norm_eps: Positive = 1e-5
    """added to the mean square"""
    tied: bool = True
    """the output projection is the embedding, transposed"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """of activations and matrix products; parameters, norms, softmax and loss are float32"""
    remat: bool = False
    """recompute a layer in the backward pass: only its input is kept, (L, B, T, D) in all"""
    unroll: Count = 1
    """layers in one turn of the scan: more of them run faster and compile slower"""

    def __post_init__(self):
        check(self)
        if self.d_model % (2 * self.n_heads):
            raise ValueError(f"model.d-model {self.d_model} must be an even multiple of model.n-heads {self.n_heads}")
        if self.n_heads % self.n_kv_heads:
            raise ValueError(f"model.n-kv-heads {self.n_kv_heads} must divide model.n-heads {self.n_heads}")


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
    sampling: Sampling = Sampling(temperature=0.7, top_p=0.95)
    """of the text printed at the end"""

    def __post_init__(self):
        check(self)
        if not 1 <= self.stride <= self.context or self.batch % self.accumulate:
            raise ValueError(f"stride must lie between 1 and context {self.context}, and accumulate must divide batch {self.batch}")


def spec(cfg: Model):
    """Every parameter; those of the layers are stacked along L."""
    D, H, G, F = cfg.d_model, cfg.n_heads, cfg.n_kv_heads, cfg.d_ff
    K, normal, ones = D // H, jax.nn.initializers.normal(D**-0.5), jax.nn.initializers.ones
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


def block(x_BTD, layer, position_BT, attend, cfg: Model):
    """One layer; `attend(q, k, v) -> (values, cache)` says what it attends to, and the cache is returned unchanged."""
    layer = {name: w if name.endswith("norm") else w.astype(x_BTD.dtype) for name, w in layer.items()}
    frequencies = rope_frequencies(cfg.d_model // cfg.n_heads, cfg.rope_theta)
    h_BTD = rms_norm(x_BTD, layer["attn_norm"], cfg.norm_eps)
    q_BTHK = rope(jnp.einsum("BTD,DHK->BTHK", h_BTD, layer["q"]), position_BT, frequencies)
    k_BTGK = rope(jnp.einsum("BTD,DGK->BTGK", h_BTD, layer["k"]), position_BT, frequencies)
    v_BTGK = jnp.einsum("BTD,DGK->BTGK", h_BTD, layer["v"])
    out_BTHK, cache = attend(q_BTHK, k_BTGK, v_BTGK)
    x_BTD = x_BTD + jnp.einsum("BTHK,HKD->BTD", out_BTHK, layer["o"])
    h_BTD = rms_norm(x_BTD, layer["mlp_norm"], cfg.norm_eps)
    return x_BTD + (jax.nn.silu(h_BTD @ layer["gate"]) * (h_BTD @ layer["up"])) @ layer["down"], cache


def unembed(params, x_BTD, cfg: Model) -> Float[Array, "B T V"]:
    """Logits in float32 from the residual stream."""
    h_BTD = rms_norm(x_BTD, params["norm"], cfg.norm_eps)
    w_DV = params["embed"].T if cfg.tied else params["head"]
    return jnp.einsum("BTD,DV->BTV", h_BTD, w_DV.astype(h_BTD.dtype), preferred_element_type=jnp.float32)


def apply(params, tokens_BT: Int[Array, "B T"], cfg: Model) -> Float[Array, "B T V"]:
    """Logits of the token after each position, from the tokens up to it."""
    B, T = tokens_BT.shape
    position_BT = jnp.broadcast_to(jnp.arange(T)[None, :], (B, T))
    mask_1TT = causal_mask(position_BT[:1], position_BT[:1])

    def layer_step(x_BTD, layer):
        return block(x_BTD, layer, position_BT, lambda q, k, v: (attention(q, k, v, mask_1TT), None), cfg)

    x_BTD = params["embed"][tokens_BT].astype(cfg.dtype)
    x_BTD, _ = jax.lax.scan(jax.checkpoint(layer_step) if cfg.remat else layer_step, x_BTD, params["layers"], unroll=cfg.unroll)
    return unembed(params, x_BTD, cfg)


@flax.struct.dataclass
class Cache:
    """Keys and values of the tokens so far: k and v (L, B, S, G, K) with room for S tokens, and how many each row holds, (B,)."""

    k: jax.Array
    v: jax.Array
    length: jax.Array


def empty_cache(cfg: Model, batch: int, room: int) -> Cache:
    """A cache for `batch` rows of up to `room` tokens: 2 L B S G K numbers of the compute dtype."""
    k, v = jnp.zeros((2, cfg.n_layers, batch, room, cfg.n_kv_heads, cfg.d_model // cfg.n_heads), cfg.dtype)
    return Cache(k, v, jnp.zeros(batch, jnp.int32))


def extend(params, tokens_BT: Int[Array, "B T"], new_B: Int[Array, " B"], cache: Cache, cfg: Model):
    """Logits after each of these tokens, given those in the cache, and the cache with the first `new_B` tokens of each row added.

    Tokens after the first `new_B` are padding: later tokens overwrite them before anything attends to them. There must be room:
    cache.length + new_B <= S; what goes beyond it is lost.
    """
    B, T = tokens_BT.shape
    position_BT = cache.length[:, None] + jnp.arange(T)[None, :]
    slot_BS = jnp.broadcast_to(jnp.arange(cache.k.shape[2])[None, :], (B, cache.k.shape[2]))
    mask_BTS = causal_mask(position_BT, slot_BS)
    row_B1 = jnp.arange(B)[:, None]

    def layer_step(carry, layer):
        x_BTD, k_LBSGK, v_LBSGK, l = carry

        def attend(q_BTHK, k_BTGK, v_BTGK):
            k = k_LBSGK.at[l, row_B1, position_BT].set(k_BTGK)
            v = v_LBSGK.at[l, row_B1, position_BT].set(v_BTGK)
            return attention(q_BTHK, k[l], v[l], mask_BTS), (k, v)

        x_BTD, (k_LBSGK, v_LBSGK) = block(x_BTD, layer, position_BT, attend, cfg)
        return (x_BTD, k_LBSGK, v_LBSGK, l + 1), None

    x_BTD = params["embed"][tokens_BT].astype(cfg.dtype)
    (x_BTD, k, v, _), _ = jax.lax.scan(layer_step, (x_BTD, cache.k, cache.v, 0), params["layers"])
    return unembed(params, x_BTD, cfg), Cache(k, v, cache.length + new_B)


def loss_fn(params, extra, batch: Int[Array, "B T1"], key, cfg: Config):
    """Mean cross entropy of tokens 1 .. T of the T + 1 in a row, given those before each, in nats."""
    logits_BTV = apply(params, batch[:, :-1], cfg.model)
    return jnp.mean(cross_entropy(logits_BTV, batch[:, 1:])), (extra, {})


def transformation(cfg: Config):
    """AdamW; matrices decay, norm scales do not."""
    return optimizer(cfg.optim, cfg.run.steps, core_spec.matrices(spec(cfg.model)))


def train_step(state: State, batch: Int[Array, "B T1"], key, cfg: Config):
    """One update of AdamW."""
    state, metrics = update(functools.partial(loss_fn, cfg=cfg), transformation(cfg), state, batch, key, cfg.accumulate)
    return state.replace(step=state.step + 1), metrics


def evaluate(state: State, batch, key, cfg: Config):
    """Loss per token and bits per byte over the held-out documents, every token predicted once; each document's end counts as a byte."""

    def nats(rows_BT1, weight_BT):
        return jnp.sum(cross_entropy(apply(state.params, rows_BT1[:, :-1], cfg.model), rows_BT1[:, 1:]) * weight_BT)

    total = jnp.sum(jax.lax.map(lambda rows: nats(*rows), (batch["rows"], batch["weights"])))
    return {
        "eval_loss": total / jnp.sum(batch["weights"]),
        "eval_bits_per_byte": total / jnp.log(2.0) / batch["bytes"],
    }


def init_state(key, cfg: Config) -> State:
    """Fresh parameters and optimiser."""
    params = core_spec.init(spec(cfg.model), key)
    return State(params, transformation(cfg).init(params), (), jnp.int32(0))


def system(cfg: Config) -> System:
    """The model on the text of the config."""
    text = functools.cache(lambda: dataset(cfg.data, cfg.model.vocab))
    return System(
        spec=spec(cfg.model),
        init_state=functools.partial(init_state, cfg=cfg),
        train_step=functools.partial(train_step, cfg=cfg),
        evaluate=functools.partial(evaluate, cfg=cfg),
        batches=lambda step: data.windows(text().train, cfg.batch, cfg.context + 1, cfg.run.seed, step),
        held_out=lambda: text().held_out_batch(cfg.batch, cfg.context, cfg.stride),
        report=lambda state, key: report(state.params, text(), key, cfg),
        files=lambda: text().files(),
    )
