"""Data parallelism: every device holds all parameters and its part of the batch; gradients are summed once per update.

With the batch in N equal parts, and each part in M equal micro-batches that fit into memory one at a time,

    g = 1/(N M) sum_i sum_j grad L(theta, batch_ij),

the inner sum is a device's own and the outer one all-reduce, so M does not change what is sent: one gradient, as many bytes as the parameters.
Every device then makes the same update of the same numbers, and the copies of the parameters stay equal bit for bit without being compared.

Source: Li et al. 2020, PyTorch Distributed, arXiv:2006.15704, section 3.2.4 (accumulation without synchronisation). Their buckets, which overlap the
all-reduce with the backward pass, are the compiler's business here: XLA merges the sums of all parameters, and the loss, into one instruction.
Simplified: `steps` updates on one batch of random tokens drawn from the key, which the model learns by heart.
"""

import functools
from collections.abc import Callable

import jax
import numpy as np
import optax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Int

from panorax.core import spec as core_spec
from panorax.core.ranges import Count, Positive, Whole, checked
from panorax.core.state import Result, State, first_state
from panorax.core.step import accumulated_gradient, update
from panorax.nets.decoders import decoder, llama
from panorax.ops.losses import next_token_loss
from panorax.parallel.measures import collectives, devices_in_a_row, distance, executions


@checked
class Config:
    model: llama.Model = llama.Model(
        vocab=512, d_model=64, n_layers=4, n_heads=4, n_kv_heads=2, d_ff=192
    )
    devices: Count = 8
    """parts of the batch [N]"""
    accumulate: Count = 4
    """micro-batches of a device [M]"""
    batch: Count = 32
    """sequences per update"""
    context: Count = 32
    """tokens predicted in each"""
    steps: Count = 20
    """updates compared with those of one device"""
    learning_rate: Positive = 1e-3
    seed: Whole = 0

    def __post_init__(self):
        if self.batch % (self.devices * self.accumulate):
            raise ValueError(
                f"batch {self.batch} must be a multiple of devices {self.devices} times accumulate {self.accumulate}"
            )


def loss_of(cfg: Config) -> Callable:
    """The language model's `(params, extra, tokens, key) -> (loss, (extra, metrics))`."""

    def loss_fn(params, extra, tokens, key):
        return next_token_loss(decoder.apply(params, tokens[:, :-1], cfg.model), tokens), (
            extra,
            {},
        )

    return loss_fn


def train_step(state: State, tokens: Int[Array, "B T1"], key, cfg: Config, accumulate: int):
    """One update of Adam, the same on one device and as one of many: `core.step.update` sees which axes the tokens vary over."""
    adam = optax.adam(cfg.learning_rate)
    params, opt, extra, metrics = update(
        loss_of(cfg), adam, state.params, state.opt, state.extra, tokens, key, accumulate
    )
    return State(params, opt, extra, state.step + 1), metrics


def data_parallel(cfg: Config, mesh: Mesh):
    """`train_step` on the devices of `mesh`: the state on all of them, rows of the batch split over them."""
    everywhere, rows = PartitionSpec(), PartitionSpec("data")
    step = functools.partial(train_step, cfg=cfg, accumulate=cfg.accumulate)
    return jax.jit(
        jax.shard_map(
            step, mesh=mesh, in_specs=(everywhere, rows, everywhere), out_specs=everywhere
        )
    )


def data_parallel_by_pmap(cfg: Config, mesh: Mesh):
    """The same with `jax.pmap`, for those who meet it in older code; what it computes equals `data_parallel`.

    `jax.pmap` is in maintenance mode, a wrapper over `jit(shard_map)`, which replaced it: `shard_map` takes whole arrays and says how they are split
    where pmap wants a leading axis of devices; its types know which values are copies, so a forgotten or a doubled all-reduce does not pass, where
    pmap leaves the mean of the gradients to whoever writes it. Without `shard_map`, `jit` of the plain step with shardings for its arguments does
    the same once more (`panorax run lm/llama --mesh data=8`).
    """
    tx = optax.adam(cfg.learning_rate)

    def per_device(state, tokens, key):
        (loss, _), grads = accumulated_gradient(
            loss_of(cfg), state.params, (), tokens, key, cfg.accumulate
        )
        loss, grads = jax.lax.pmean((loss, grads), "data")
        updates, opt = tx.update(grads, state.opt, state.params)
        return state.replace(
            params=optax.apply_updates(state.params, updates), opt=opt, step=state.step + 1
        ), {"loss": loss}

    mapped = jax.pmap(
        per_device,
        axis_name="data",
        in_axes=(None, 0, None),
        out_axes=None,
        devices=mesh.devices.tolist(),
    )
    return lambda state, tokens, key: mapped(
        state, tokens.reshape(cfg.devices, -1, tokens.shape[1]), key
    )


def train(step: Callable, state: State, tokens, key, steps: int) -> tuple[State, np.ndarray]:
    """The state after `steps` updates, and the loss before each of them."""
    losses = []
    for _ in range(steps):
        state, metrics = step(state, tokens, key)
        losses.append(float(metrics["loss"]))
    return state, np.array(losses)


def differing_bytes(tree) -> int:
    """Bytes that are not the same on every device that holds a copy."""
    copies = lambda x: np.stack(
        [
            np.frombuffer(np.asarray(shard.data).tobytes(), np.uint8)
            for shard in x.addressable_shards
        ]
    )
    return sum(int(np.sum(np.any(c != c[:1], axis=0))) for c in map(copies, jax.tree.leaves(tree)))


def start(cfg: Config, key) -> tuple[State, Int[Array, "B T1"]]:
    """Fresh parameters and optimiser, and the batch."""
    key_init, key_data = jax.random.split(key)
    params = core_spec.init(llama.spec(cfg.model), key_init)
    tokens = jax.random.randint(key_data, (cfg.batch, cfg.context + 1), 0, cfg.model.vocab)
    return first_state(params, optax.adam(cfg.learning_rate)), tokens


def study(cfg: Config, key) -> Result:
    """The same updates on one device, on many, and on many by pmap; distances are relative to how far the parameters moved."""
    mesh = devices_in_a_row(cfg.devices, "data")
    state, tokens = start(cfg, key)
    on_one = jax.jit(functools.partial(train_step, cfg=cfg, accumulate=1))
    on_many = data_parallel(cfg, mesh)
    one, losses_one = train(on_one, state, tokens, key, cfg.steps)
    many, losses_many = train(on_many, state, tokens, key, cfg.steps)
    mapped, _ = train(data_parallel_by_pmap(cfg, mesh), state, tokens, key, cfg.steps)
    moved = distance(one.params, state.params)
    found = collectives(on_many.lower(state, tokens, key).compile().as_text())
    bytes_of_parameters = sum(x.nbytes for x in jax.tree.leaves(state.params))
    bytes_all_reduced = sum(c.bytes for c in found if c.kind == "all-reduce")
    metrics = {
        "first_loss": losses_many[0],
        "last_loss": losses_many[-1],
        "largest_loss_difference": np.max(np.abs(losses_many - losses_one)),
        "parameter_distance": distance(many.params, one.params) / moved,
        "parameter_distance_pmap": distance(mapped.params, many.params) / moved,
        "bytes_differing_between_devices": differing_bytes((many.params, many.opt)),
        "all_reduces_per_update": executions(found, "all-reduce"),
        "other_collectives": sum(c.times for c in found if c.kind != "all-reduce"),
        "bytes_of_parameters": bytes_of_parameters,
        "bytes_all_reduced": bytes_all_reduced,
        "bytes_all_reduced_beside_gradients": bytes_all_reduced - bytes_of_parameters,
    }
    return Result(
        {name: float(x) for name, x in metrics.items()},
        {"data_parallel.png": draw(losses_one, losses_many, cfg)},
    )


def draw(one: np.ndarray, many: np.ndarray, cfg: Config):
    """The two runs on top of each other, and what is between them."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(one, "-", color="C0", label="one device")
    left.plot(
        many,
        "o",
        color="C1",
        ms=4,
        label=f"{cfg.devices} devices, {cfg.accumulate} micro-batches each",
    )
    left.set(title="loss on one batch, nats per token", xlabel="update")
    left.legend(frameon=False)
    right.plot(np.abs(many - one), "o-", color="C2", ms=4)
    right.set(title="difference of the two losses", xlabel="update", ylim=(0, None))
    for ax in (left, right):
        ax.grid(alpha=0.3)
    return figure
