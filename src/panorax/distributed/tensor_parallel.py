"""Megatron: every matrix of a Transformer layer split over N devices.

A pair of matrices with a nonlinearity between them is split so that the devices communicate once,
at the end. The first is split by columns, the second by rows:

    Y = act(X A) B = sum_i act(X A_i) B_i,    A = [A_1 .. A_N],    B = [B_1; ..; B_N].

In the feed-forward network A and B are its matrices. In attention A_i makes the queries, keys and
values of a device's own heads, and B_i is the rows of the output projection for these heads. The
input of a pair passes f, its output passes g:

    f: forward the identity, backward an all-reduce
    g: forward an all-reduce, backward the identity

Neither needs a custom rule in JAX. Inside `shard_map` (check_vma=True) the type of a value records
whether it varies over devices. g is `psum`, from varying to invariant; its transpose gives the same
cotangent to every device. f is `pcast`, from invariant to varying; its transpose is the sum. JAX
inserts f wherever an invariant value meets a varying one. Attention has three such products, which
would send three cotangents in place of their sum, so f is written once before them. Two f and two g
make 2 all-reduces of one (B, T, D) array per layer forward, and 2 backward.

The vocabulary is split too. A device looks up the tokens that it holds; g sums, since the others
give 0. The cross entropy log sum_v exp(z_v) - z_label needs a maximum and two sums over devices,
one number per token each: logits are never gathered. Everything between g and f (residual stream,
norms and their scales) is equal on all devices and computed on each.

Source: Shoeybi et al. 2019, arXiv:1909.08053, section 3.
Simplified: `steps` updates on one batch of random tokens; no dropout.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

from panorax.core import figures
from panorax.core import spec as core_spec
from panorax.core.ranges import Count, Positive, Whole, checked
from panorax.core.state import Result
from panorax.core.step import descend
from panorax.core.study import Part
from panorax.nets.decoders import decoder, heads, llama
from panorax.nets.decoders.feed_forward import Gated
from panorax.ops.attention import attention, causal_mask
from panorax.ops.gates import swiglu
from panorax.ops.losses import next_token_loss
from panorax.ops.norms import rms_norm
from panorax.ops.positions import Rope
from panorax.parallel.measures import (
    bytes_on_a_device,
    collectives,
    devices_in_a_row,
    distance,
    executions,
)

SPLIT = ("vocab", "heads", "kv_heads", "mlp")
"""logical axes that are split over devices"""


@checked
class Config:
    model: llama.Model = llama.Model(
        vocab=1024, d_model=128, n_layers=4, n_heads=16, n_kv_heads=8, d_ff=384
    )
    """sizes of the language model"""
    devices: Count = 8
    """devices, each with a part of every matrix [N]"""
    batch: Count = 4
    """sequences per update"""
    context: Count = 32
    """tokens predicted in each sequence"""
    steps: Count = 20
    """updates compared with one device"""
    learning_rate: Positive = 1e-3
    """learning rate of Adam"""
    seed: Whole = 0
    """seed of all random numbers"""

    def __post_init__(self):
        for name in ("vocab", "n_heads", "n_kv_heads", "d_ff"):
            size, option = getattr(self.model, name), name.replace("_", "-")
            if size % self.devices:
                raise ValueError(
                    f"model.{option} {size} must be a multiple of devices {self.devices}"
                )
        if self.model.dtype != "float32" or self.model.n_layers < 2:
            raise ValueError(
                "model.dtype must be float32, for an exact comparison, "
                "and model.n-layers at least 2, so that layers are a loop in the program"
            )
        parts = (self.model.positions, self.model.attention, self.model.feed_forward)
        if not isinstance(parts[0], Rope) or parts[1:] != (heads.Heads(), Gated()):
            raise ValueError(
                "tensor parallelism splits Llama: model.positions is a rotation, "
                "model.attention heads and model.feed-forward gated by silu"
            )


def partition(model: llama.Model):
    """The PartitionSpec of every parameter, split along its axis in SPLIT if it has one."""
    return core_spec.map_spec(
        lambda p: PartitionSpec(*("tensor" if axis in SPLIT else None for axis in p.axes)),
        llama.spec(model),
    )


def f(x):
    """The identity; its transpose is the sum over devices."""
    return jax.lax.pcast(x, "tensor", to="varying")


def g(x):
    """The sum over devices; its transpose is the identity."""
    return jax.lax.psum(x, "tensor")


def attention_column(h_BTD, layer, model: llama.Model) -> Float[Array, "B T h K"]:
    """Attention of this device's h = H / N query heads and g = G / N key/value heads."""
    B, T, _ = h_BTD.shape
    position_BT = jnp.broadcast_to(jnp.arange(T)[None, :], (B, T))
    rotate = model.positions.rotation(model.head_size, position_BT, T)
    q_BThK, k_BTgK, v_BTgK = heads.projections(h_BTD, layer, model)
    mask = causal_mask(position_BT[:1], position_BT[:1])
    return attention(rotate(q_BThK), rotate(k_BTgK), v_BTgK, mask)


def mlp_column(h_BTD, layer) -> Float[Array, "B T f"]:
    """This device's f = F / N hidden units of the gated feed-forward network."""
    return swiglu(h_BTD @ layer["gate"], h_BTD @ layer["up"])


def block(x_BTD, layer, model: llama.Model) -> Float[Array, "B T D"]:
    """`llama.block` with split matrices: column-parallel, then row-parallel, twice."""
    h_BTD = f(rms_norm(x_BTD, layer["attn_norm"], model.norm_eps))
    out_BThK = attention_column(h_BTD, layer, model)
    x_BTD = x_BTD + g(jnp.einsum("BThK,hKD->BTD", out_BThK, layer["o"]))
    h_BTD = f(rms_norm(x_BTD, layer["mlp_norm"], model.norm_eps))
    return x_BTD + g(mlp_column(h_BTD, layer) @ layer["down"])


def own(token: Int[Array, "B T"], v: int) -> tuple[Int[Array, "B T"], Array]:
    """The row of each token in this device's v rows of the vocabulary, and a mask.

    The mask is False, and the row 0, for a token that another device holds.
    """
    row = token - jax.lax.axis_index("tensor") * v
    mask = (row >= 0) & (row < v)
    return jnp.where(mask, row, 0), mask


def embedding(embed_vD, token_BT) -> Float[Array, "B T D"]:
    """Vectors of the tokens; each comes from the device that holds its row."""
    row_BT, mask_BT = own(token_BT, embed_vD.shape[0])
    return g(jnp.where(mask_BT[..., None], embed_vD[row_BT], 0.0))


def unembedding(params, x_BTD, model: llama.Model) -> Float[Array, "B T v"]:
    """Logits of this device's v = V / N tokens."""
    h_BTD = f(rms_norm(x_BTD, params["norm"], model.norm_eps))
    return h_BTD @ (params["embed"].T if model.tied else params["head"])


def split_cross_entropy(logits_BTv, label_BT) -> Float[Array, "B T"]:
    """log sum_v exp(z_v) - z_label in nats, for logits that are split over devices.

    Devices exchange one maximum and one pair of sums for each token.
    """
    row_BT, mask_BT = own(label_BT, logits_BTv.shape[-1])
    highest_BT = jax.lax.pmax(jax.lax.stop_gradient(jnp.max(logits_BTv, -1)), "tensor")
    picked_BT = jnp.take_along_axis(logits_BTv, row_BT[..., None], -1)[..., 0]
    picked_BT = jnp.where(mask_BT, picked_BT, 0.0)
    sum_BT, picked_BT = g((jnp.sum(jnp.exp(logits_BTv - highest_BT[..., None]), -1), picked_BT))
    return jnp.log(sum_BT) + highest_BT - picked_BT


def loss_fn(params, tokens_BT1: Int[Array, "B T1"], model: llama.Model) -> Float[Array, ""]:
    """Mean cross entropy of the next token in nats, computed by each device and equal on all."""
    step = lambda x_BTD, layer: (block(x_BTD, layer, model), None)
    x_BTD = embedding(params["embed"], tokens_BT1[:, :-1])
    x_BTD, _ = jax.lax.scan(step, x_BTD, params["layers"])
    return jnp.mean(split_cross_entropy(unembedding(params, x_BTD, model), tokens_BT1[:, 1:]))


def train(params, tokens, loss: Callable, cfg: Config):
    """Parameters after `steps` updates of Adam, and the loss before each, (steps,).

    Adam is elementwise, so a device can update its part of each array.
    """
    updates = jnp.arange(cfg.steps)
    return descend(
        lambda params, _: loss(params, tokens), optax.adam(cfg.learning_rate), params, updates
    )


def activations(params, tokens_BT1, model: llama.Model):
    """The split activations: heads and hidden units of the first layer, logits of the head."""
    x_BTD = embedding(params["embed"], tokens_BT1[:, :-1])
    first = jax.tree.map(lambda x: x[0], params["layers"])
    h_BTD = f(rms_norm(x_BTD, first["attn_norm"], model.norm_eps))
    heads, units = attention_column(h_BTD, first, model), mlp_column(h_BTD, first)
    return heads, units, unembedding(params, x_BTD, model)


class Trained(NamedTuple):
    """One training."""

    params: dict
    """parameters after the last update"""
    losses: np.ndarray
    """loss before each update, (steps,), in nats per token"""
    grads: dict
    """gradient at the first parameters"""


class Setup(NamedTuple):
    """Parameters, data, and how parameters are split."""

    mesh: Mesh
    """the devices in a row"""
    specs: dict
    """PartitionSpec of every parameter"""
    params: dict
    """first parameters"""
    tokens: Int[Array, "B T1"]
    """the batch"""


def set_up(key, cfg: Config) -> Setup:
    """Random parameters and tokens."""
    mesh = devices_in_a_row(cfg.devices, "tensor")
    key_init, key_data = jax.random.split(key)
    params = core_spec.init(llama.spec(cfg.model), key_init)
    tokens = jax.random.randint(key_data, (cfg.batch, cfg.context + 1), 0, cfg.model.vocab)
    return Setup(mesh, partition(cfg.model), params, tokens)


def on_devices(setup: Setup, function: Callable, out_specs, mesh: Mesh | None = None) -> Callable:
    """`function(params, tokens)` on the devices of `mesh`, by default `setup.mesh`."""
    in_specs = (setup.specs, PartitionSpec())
    mapped = jax.shard_map(
        function, mesh=mesh or setup.mesh, in_specs=in_specs, out_specs=out_specs
    )
    return jax.jit(mapped)


def on_one(setup: Setup, cfg: Config) -> Trained:
    """Training on one device."""

    def loss(params, tokens):
        return next_token_loss(decoder.apply(params, tokens[:, :-1], cfg.model), tokens)

    arguments = (setup.params, setup.tokens)
    params, losses = jax.jit(functools.partial(train, loss=loss, cfg=cfg))(*arguments)
    return Trained(params, np.asarray(losses), jax.jit(jax.grad(loss))(*arguments))


def on_many(setup: Setup, cfg: Config) -> Trained:
    """Training with every matrix split."""
    loss, arguments = functools.partial(loss_fn, model=cfg.model), (setup.params, setup.tokens)
    steps = functools.partial(train, loss=loss, cfg=cfg)
    params, losses = on_devices(setup, steps, (setup.specs, PartitionSpec()))(*arguments)
    grads = on_devices(setup, jax.grad(loss), setup.specs)(*arguments)
    return Trained(params, np.asarray(losses), grads)


def training(key, cfg: Config) -> Result:
    """The same updates on one device and on many.

    Distances are relative to the gradient, and to how far training moves the parameters.
    """
    setup = set_up(key, cfg)
    one, many = on_one(setup, cfg), on_many(setup, cfg)
    size = distance(one.grads, jax.tree.map(jnp.zeros_like, one.grads))
    moved = distance(one.params, setup.params)
    metrics = {
        "first_loss": float(many.losses[0]),
        "last_loss": float(many.losses[-1]),
        "largest_loss_difference": float(np.max(np.abs(many.losses - one.losses))),
        "gradient_distance": distance(many.grads, one.grads) / size,
        "parameter_distance": distance(many.params, one.params) / moved,
    }
    return Result(metrics, {"training.png": draw_losses(one.losses, many.losses, cfg)})


def communication(key, cfg: Config) -> Result:
    """The all-reduces of the compiled loss, and of the compiled loss with its gradient."""
    setup = set_up(key, cfg)
    loss, invariant = functools.partial(loss_fn, model=cfg.model), PartitionSpec()
    collectives_of = lambda function: collectives(
        function.lower(setup.params, setup.tokens).compile().as_text()
    )
    forward = collectives_of(on_devices(setup, loss, invariant))
    with_gradient = on_devices(setup, jax.value_and_grad(loss), (invariant, setup.specs))
    both = collectives_of(with_gradient)
    layers = cfg.model.n_layers
    in_layers = lambda exchanged: executions([c for c in exchanged if c.times > 1], "all-reduce")
    outside = lambda exchanged: executions(exchanged, "all-reduce") - in_layers(exchanged)
    stream = layers * cfg.batch * cfg.context * cfg.model.d_model
    metrics = {
        "forward_all_reduces_per_layer": in_layers(forward) / layers,
        "backward_all_reduces_per_layer": (in_layers(both) - in_layers(forward)) / layers,
        "residual_streams_all_reduced_per_layer": sum(c.elements for c in both if c.times > 1)
        / stream,
        "forward_all_reduces_outside_layers": outside(forward),
        "all_reduces_outside_layers": outside(both),
        "other_collectives": sum(c.times for c in both if c.kind != "all-reduce"),
    }
    return Result({name: float(value) for name, value in metrics.items()})


def memory(key, cfg: Config) -> Result:
    """The share of each parameter and of the split activations that one device holds."""
    setup = set_up(key, cfg)
    to_devices = lambda x, spec: jax.device_put(x, NamedSharding(setup.mesh, spec))
    params = jax.tree.map(to_devices, setup.params, setup.specs)
    shares = jax.tree.map(lambda x: bytes_on_a_device(x) / x.nbytes, params)
    pairs = zip(jax.tree.leaves(shares), jax.tree.leaves(setup.specs), strict=True)
    matrices = [share for share, spec in pairs if "tensor" in spec]
    hidden = (PartitionSpec(None, None, "tensor"),) * 3
    inside = functools.partial(activations, model=cfg.model)
    bytes_inside = lambda mesh: bytes_on_a_device(
        on_devices(setup, inside, hidden, mesh)(setup.params, setup.tokens)
    )
    metrics = {
        "one_over_devices": 1 / cfg.devices,
        "largest_share_of_a_matrix": max(matrices),
        "smallest_share_of_a_matrix": min(matrices),
        "share_of_split_activations": bytes_inside(setup.mesh)
        / bytes_inside(devices_in_a_row(1, "tensor")),
        "share_of_all_parameters": bytes_on_a_device(params) / bytes_on_a_device(setup.params),
    }
    inside_share = metrics["share_of_split_activations"]
    return Result(metrics, {"memory.png": draw_shares(shares, inside_share, cfg.devices)})


def study(cfg: Config) -> dict[str, Part]:
    """Training on one device and on many, the collectives, and the memory of each device."""
    return {
        "training": functools.partial(training, cfg=cfg),
        "communication": functools.partial(communication, cfg=cfg),
        "memory": functools.partial(memory, cfg=cfg),
    }


def draw_losses(one: np.ndarray, many: np.ndarray, cfg: Config):
    """The losses on one device and on many over the updates."""
    figure, (ax,) = figures.panels()
    ax.plot(one, label="one device")
    ax.plot(many, "o", ms=4, label=f"{cfg.devices} devices")
    ax.set(title="training on one batch", xlabel="update", ylabel="loss (nats per token)")
    ax.xaxis.get_major_locator().set_params(integer=True)
    return figures.legends(figure)


def draw_shares(shares: dict, inside_share: float, devices: int):
    """A bar for the share of each array that one device holds; whole arrays in another colour."""
    bars = {name: share for name, share in shares.items() if name != "layers"}
    bars |= {f"layers: {name}": share for name, share in shares["layers"].items()}
    bars["activations between f and g"] = inside_share
    figure, (ax,) = figures.panels(width=7, height=4)
    ax.barh([*bars], [*bars.values()], color=[figures.COLORS[x == 1] for x in bars.values()])
    ax.axvline(1 / devices, color="black", lw=1, ls="--", label=f"1/{devices}")
    ax.invert_yaxis()
    ax.set(title=f"memory of one of {devices} devices", xlabel="share of the array", xlim=(0, 1))
    return figures.legends(figure, loc="lower right")
