"""Megatron: every matrix of a Transformer layer split over N devices (Shoeybi et al. 2019, arXiv:1909.08053).

A pair of matrices with a nonlinearity between them is split so that the devices meet once, at the end. The first by columns, the second by rows:

    Y = act(X A) B = sum_i act(X A_i) B_i,    A = [A_1 .. A_N],    B = [B_1; ..; B_N],

in the feed-forward network, and in attention where A_i makes the queries, keys and values of a device's own heads and B_i is the output projection's
rows for them. What goes in passes f, what comes out passes g:

    f: forward the identity, backward an all-reduce          g: forward an all-reduce, backward the identity

In JAX neither needs a rule of its own. Inside `shard_map` (check_vma=True) the type of a value says whether it varies over devices. g is `psum`, from
varying to equal everywhere; its transpose hands the same cotangent to every device. f is `pcast`, from equal everywhere to varying; its transpose is
the sum. JAX puts f itself where an equal value meets a varying one, but once for every product: attention's three would send three cotangents where
their total is enough, so f is written, once, before them. Two f and two g: 2 all-reduces of one (B, T, D) per layer forward, 2 backward.

The vocabulary is split too. A device looks up the tokens that it has (others give 0, g sums), and the cross entropy
log sum_v exp(z_v) - z_label needs a maximum and two sums over devices, one number per token each, never the logits in one place.
Everything between g and f (residual stream, norms, their scales) is equal on all devices and computed on each.
Simplified: `steps` updates on one batch of random tokens drawn from the key; no dropout.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Int

from panorax.core import spec as core_spec
from panorax.core.ranges import Count, Positive, Whole, checked
from panorax.core.state import Result
from panorax.nets.decoders import decoder, llama
from panorax.ops.attention import attention, causal_mask
from panorax.ops.losses import next_token_loss
from panorax.ops.norms import rms_norm
from panorax.parallel.measures import (
    bytes_on_a_device,
    collectives,
    devices_in_a_row,
    distance,
    executions,
)

SPLIT = (
    "vocab",
    "heads",
    "kv_heads",
    "mlp",
)  # the logical axes that devices share out among themselves


@checked
class Config:
    model: llama.Model = llama.Model(
        vocab=1024, d_model=128, n_layers=4, n_heads=16, n_kv_heads=8, d_ff=384
    )
    devices: Count = 8
    """parts of every matrix [N]"""
    batch: Count = 4
    context: Count = 32
    """tokens predicted in each sequence"""
    steps: Count = 20
    """updates compared with those of one device"""
    learning_rate: Positive = 1e-3
    seed: Whole = 0

    def __post_init__(self):
        for name in ("vocab", "n_heads", "n_kv_heads", "d_ff"):
            if getattr(self.model, name) % self.devices:
                raise ValueError(
                    f"model.{name.replace('_', '-')} {getattr(self.model, name)} must be a multiple of devices {self.devices}"
                )
        if self.model.dtype != "float32" or self.model.n_layers < 2:
            raise ValueError(
                "model.dtype must be float32 and model.n-layers at least 2: the comparison is exact, and layers are counted in a loop"
            )


def partition(model: llama.Model):
    """The PartitionSpec of every parameter: split along the one axis of it that is in SPLIT, if any."""
    return core_spec.map_spec(
        lambda p: PartitionSpec(*("tensor" if axis in SPLIT else None for axis in p.axes)),
        llama.spec(model),
    )


def f(x):
    """The identity; backward, the sum over devices."""
    return jax.lax.pcast(x, "tensor", to="varying")


def g(x):
    """The sum over devices; backward, the identity."""
    return jax.lax.psum(x, "tensor")


def attention_column(h_BTD, layer, model: llama.Model) -> Float[Array, "B T h K"]:
    """Attention of this device's h = H / N query heads, which have their G / N key/value heads with them."""
    B, T, _ = h_BTD.shape
    position_BT = jnp.broadcast_to(jnp.arange(T)[None, :], (B, T))
    rotate = decoder.rotation(position_BT, T, model)
    q_BThK, k_BTgK, v_BTgK = llama.project(h_BTD, layer, model)
    return attention(
        rotate(q_BThK), rotate(k_BTgK), v_BTgK, causal_mask(position_BT[:1], position_BT[:1])
    )


def mlp_column(h_BTD, layer) -> Float[Array, "B T f"]:
    """This device's f = F / N hidden units of the gated feed-forward network."""
    return jax.nn.silu(h_BTD @ layer["gate"]) * (h_BTD @ layer["up"])


def block(x_BTD, layer, model: llama.Model) -> Float[Array, "B T D"]:
    """`llama.block` with split matrices: column-parallel, then row-parallel, twice."""
    h_BTD = f(rms_norm(x_BTD, layer["attn_norm"], model.norm_eps))
    x_BTD = x_BTD + g(
        jnp.einsum("BThK,hKD->BTD", attention_column(h_BTD, layer, model), layer["o"])
    )
    h_BTD = f(rms_norm(x_BTD, layer["mlp_norm"], model.norm_eps))
    return x_BTD + g(mlp_column(h_BTD, layer) @ layer["down"])


def own(token: Int[Array, "B T"], v: int) -> tuple[Int[Array, "B T"], Array]:
    """Row of each token among this device's v of the vocabulary, and whether it is one of them (else the row is 0)."""
    row = token - jax.lax.axis_index("tensor") * v
    there = (row >= 0) & (row < v)
    return jnp.where(there, row, 0), there


def embedding(embed_vD, token_BT) -> Float[Array, "B T D"]:
    """Vocabulary-parallel: each vector comes from the one device that has it."""
    row_BT, there_BT = own(token_BT, embed_vD.shape[0])
    return g(jnp.where(there_BT[..., None], embed_vD[row_BT], 0.0))


def unembedding(params, x_BTD, model: llama.Model) -> Float[Array, "B T v"]:
    """Logits of this device's v = V / N tokens."""
    h_BTD = f(rms_norm(x_BTD, params["norm"], model.norm_eps))
    return h_BTD @ (params["embed"].T if model.tied else params["head"])


def split_cross_entropy(logits_BTv, label_BT) -> Float[Array, "B T"]:
    """log sum_v exp(z_v) - z_label in nats, of logits that are split over devices: one maximum and one pair of sums is exchanged."""
    row_BT, there_BT = own(label_BT, logits_BTv.shape[-1])
    highest_BT = jax.lax.pmax(jax.lax.stop_gradient(jnp.max(logits_BTv, -1)), "tensor")
    picked_BT = jnp.where(
        there_BT, jnp.take_along_axis(logits_BTv, row_BT[..., None], -1)[..., 0], 0.0
    )
    sum_BT, picked_BT = g((jnp.sum(jnp.exp(logits_BTv - highest_BT[..., None]), -1), picked_BT))
    return jnp.log(sum_BT) + highest_BT - picked_BT


def loss_fn(params, tokens_BT1: Int[Array, "B T1"], model: llama.Model) -> Float[Array, ""]:
    """Mean cross entropy of the next token, on one of the devices; the same number on all."""
    x_BTD = embedding(params["embed"], tokens_BT1[:, :-1])
    x_BTD, _ = jax.lax.scan(
        lambda x_BTD, layer: (block(x_BTD, layer, model), None), x_BTD, params["layers"]
    )
    return jnp.mean(split_cross_entropy(unembedding(params, x_BTD, model), tokens_BT1[:, 1:]))


def train(params, tokens, loss: Callable, cfg: Config):
    """Parameters after `steps` updates of Adam, and the loss before each; elementwise, so the same for parts and for wholes."""
    tx = optax.adam(cfg.learning_rate)

    def step(carry, _):
        params, opt = carry
        value, grads = jax.value_and_grad(loss)(params, tokens)
        updates, opt = tx.update(grads, opt, params)
        return (optax.apply_updates(params, updates), opt), value

    (params, _), losses = jax.lax.scan(step, (params, tx.init(params)), length=cfg.steps)
    return params, losses


def activations(params, tokens_BT1, model: llama.Model):
    """The split activations of the first layer and the head."""
    x_BTD, first = (
        embedding(params["embed"], tokens_BT1[:, :-1]),
        jax.tree.map(lambda x: x[0], params["layers"]),
    )
    h_BTD = f(rms_norm(x_BTD, first["attn_norm"], model.norm_eps))
    return (
        attention_column(h_BTD, first, model),
        mlp_column(h_BTD, first),
        unembedding(params, x_BTD, model),
    )


def study(cfg: Config, key) -> Result:
    """The loss on one device beside the same parameters split over many; counts of what the compiled programs exchange."""
    mesh, specs, whole = (
        devices_in_a_row(cfg.devices, "tensor"),
        partition(cfg.model),
        PartitionSpec(),
    )
    split = lambda function, out, mesh=mesh: jax.jit(
        jax.shard_map(function, mesh=mesh, in_specs=(specs, whole), out_specs=out)
    )
    key_init, key_data = jax.random.split(key)
    params = core_spec.init(llama.spec(cfg.model), key_init)
    tokens = jax.random.randint(key_data, (cfg.batch, cfg.context + 1), 0, cfg.model.vocab)
    of_one = lambda params, tokens: next_token_loss(
        decoder.apply(params, tokens[:, :-1], cfg.model), tokens
    )
    of_many = functools.partial(loss_fn, model=cfg.model)

    gradient_one, gradient_many = (
        jax.jit(jax.grad(of_one)),
        split(jax.value_and_grad(of_many), (whole, specs)),
    )
    forward = collectives(split(of_many, whole).lower(params, tokens).compile().as_text())
    both = collectives(gradient_many.lower(params, tokens).compile().as_text())
    in_layers = lambda found: (
        executions([c for c in found if c.times > 1], "all-reduce") / cfg.model.n_layers
    )
    stream = cfg.model.n_layers * cfg.batch * cfg.context * cfg.model.d_model

    one, losses_one = jax.jit(functools.partial(train, loss=of_one, cfg=cfg))(params, tokens)
    many, losses_many = split(functools.partial(train, loss=of_many, cfg=cfg), (specs, whole))(
        params, tokens
    )
    grads, grads_one = gradient_many(params, tokens)[1], gradient_one(params, tokens)

    hidden = (PartitionSpec(None, None, "tensor"),) * 3
    inside = functools.partial(activations, model=cfg.model)
    parts, wholes = (
        split(inside, hidden)(params, tokens),
        split(inside, hidden, devices_in_a_row(1, "tensor"))(params, tokens),
    )
    share = jax.tree.map(lambda x: bytes_on_a_device(x) / x.nbytes, many)
    matrices = [
        s
        for s, spec in zip(jax.tree.leaves(share), jax.tree.leaves(specs), strict=True)
        if "tensor" in spec
    ]
    metrics = {
        "first_loss": losses_many[0],
        "last_loss": losses_many[-1],
        "largest_loss_difference": np.max(np.abs(losses_many - losses_one)),
        "gradient_distance": distance(grads, grads_one)
        / distance(grads_one, jax.tree.map(jnp.zeros_like, grads_one)),
        "parameter_distance": distance(many, one) / distance(one, params),
        "forward_all_reduces_per_layer": in_layers(forward),
        "backward_all_reduces_per_layer": in_layers(both) - in_layers(forward),
        "residual_streams_all_reduced_per_layer": sum(c.elements for c in both if c.times > 1)
        / stream,
        "forward_all_reduces_outside_layers": executions(forward, "all-reduce")
        - in_layers(forward) * cfg.model.n_layers,
        "all_reduces_outside_layers": executions(both, "all-reduce")
        - in_layers(both) * cfg.model.n_layers,
        "other_collectives": sum(c.times for c in both if c.kind != "all-reduce"),
        "one_over_devices": 1 / cfg.devices,
        "largest_share_of_a_matrix": max(matrices),
        "smallest_share_of_a_matrix": min(matrices),
        "share_of_split_activations": bytes_on_a_device(parts) / bytes_on_a_device(wholes),
        "share_of_all_parameters": bytes_on_a_device(many) / bytes_on_a_device(params),
    }
    return Result(
        {name: float(x) for name, x in metrics.items()},
        {"tensor_parallel.png": draw(share, metrics, cfg)},
    )


def draw(share, metrics: dict[str, float], cfg: Config):
    """How much of every array is on one device."""
    from matplotlib.figure import Figure

    rows = {name: value for name, value in share.items() if name != "layers"} | {
        f"layers: {name}": s for name, s in share["layers"].items()
    }
    rows["activations between f and g"] = metrics["share_of_split_activations"]
    figure = Figure(figsize=(8, 4), layout="constrained")
    ax = figure.subplots()
    ax.barh(
        list(rows),
        list(rows.values()),
        color=["C0" if value < 1 else "C1" for value in rows.values()],
    )
    ax.axvline(1 / cfg.devices, color="black", lw=1, ls="--")
    ax.invert_yaxis()
    ax.set(
        title=f"share of each array on one of {cfg.devices} devices (dashed: 1/{cfg.devices})",
        xlim=(0, 1),
    )
    return figure
