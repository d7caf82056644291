"""Data parallelism: each device holds all parameters and its part of the batch.

With the batch in N equal parts, and each part in M equal micro-batches that are in memory one at a
time,

    g = 1/(N M) sum_i sum_j grad L(theta, batch_ij).

Each device computes its inner sum alone; the outer sum is one all-reduce. M does not change the
communication: one gradient, as many bytes as the parameters. Every device then makes the same
update of the same numbers, so the copies of the parameters stay bitwise equal.

Source: Li et al. 2020, PyTorch Distributed, arXiv:2006.15704, section 3.2.4 (accumulation without
synchronisation). Their buckets overlap the all-reduce with the backward pass. Here the compiler
does this: XLA merges the sums of all parameters and of the loss into one instruction.
Simplified: `steps` updates on one batch of random tokens, which the model memorises.
"""

import functools
from collections.abc import Callable

import jax
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Int

from panorax.core import figures
from panorax.core import spec as core_spec
from panorax.core.ranges import Count, Positive, Whole, checked
from panorax.core.state import Result, State, first_state
from panorax.core.step import accumulated_gradient, update
from panorax.core.study import Part
from panorax.nets.decoders import decoder, llama
from panorax.ops.losses import next_token_loss
from panorax.parallel.measures import collectives, devices_in_a_row, distance, executions


@checked
class Config:
    model: llama.Model = llama.Model(
        vocab=512, d_model=64, n_layers=4, n_heads=4, n_kv_heads=2, d_ff=192
    )
    """sizes of the language model"""
    devices: Count = 8
    """devices, each with a part of the batch [N]"""
    accumulate: Count = 4
    """micro-batches of a device [M]"""
    batch: Count = 32
    """sequences per update, a multiple of N M"""
    context: Count = 32
    """tokens predicted in each sequence"""
    steps: Count = 20
    """updates compared with one device"""
    learning_rate: Positive = 1e-3
    """learning rate of Adam"""
    seed: Whole = 0
    """seed of all random numbers"""

    def __post_init__(self):
        if self.batch % (self.devices * self.accumulate):
            raise ValueError(
                f"batch {self.batch} must be a multiple of devices {self.devices} "
                f"times accumulate {self.accumulate}"
            )


def loss_of(cfg: Config) -> Callable:
    """The language model's `(params, extra, tokens, key) -> (loss, (extra, metrics))`."""

    def loss_fn(params, extra, tokens, key):
        logits = decoder.apply(params, tokens[:, :-1], cfg.model)
        return next_token_loss(logits, tokens), (extra, {})

    return loss_fn


def train_step(state: State, tokens: Int[Array, "B T1"], key, cfg: Config, accumulate: int):
    """One update of Adam, on a single device or on each of many.

    `core.step.update` averages over the mesh axes that the tokens vary over.
    """
    adam = optax.adam(cfg.learning_rate)
    params, opt, extra, metrics = update(
        loss_of(cfg), adam, state.params, state.opt, state.extra, tokens, key, accumulate
    )
    return State(params, opt, extra, state.step + 1), metrics


def data_parallel(cfg: Config, mesh: Mesh):
    """`train_step` on the devices of `mesh`: the state replicated, the rows of the batch split."""
    everywhere, rows = PartitionSpec(), PartitionSpec("data")
    step = functools.partial(train_step, cfg=cfg, accumulate=cfg.accumulate)
    return jax.jit(
        jax.shard_map(
            step, mesh=mesh, in_specs=(everywhere, rows, everywhere), out_specs=everywhere
        )
    )


def data_parallel_by_pmap(cfg: Config, mesh: Mesh):
    """`data_parallel` written with `jax.pmap`, for readers of older code.

    `jax.pmap` is in maintenance mode, a wrapper over `jit(shard_map)`. pmap wants a leading axis of
    devices; `shard_map` takes whole arrays and a description of their split. The types of
    `shard_map` record which values are copies, so a forgotten or doubled all-reduce is an error;
    under pmap the author of a step must average the gradients. A third equivalent is `jit` of the
    plain step with sharded arguments (`panorax run lm/llama --mesh data=8`).
    """
    tx = optax.adam(cfg.learning_rate)

    def per_device(state, tokens, key):
        (loss, _), grads = accumulated_gradient(
            loss_of(cfg), state.params, (), tokens, key, cfg.accumulate
        )
        loss, grads = jax.lax.pmean((loss, grads), "data")
        updates, opt = tx.update(grads, state.opt, state.params)
        params = optax.apply_updates(state.params, updates)
        return state.replace(params=params, opt=opt, step=state.step + 1), {"loss": loss}

    mapped = jax.pmap(
        per_device,
        axis_name="data",
        in_axes=(None, 0, None),
        out_axes=None,
        devices=mesh.devices.tolist(),
    )
    rows = lambda tokens: tokens.reshape(cfg.devices, -1, tokens.shape[1])
    return lambda state, tokens, key: mapped(state, rows(tokens), key)


def train(step: Callable, state: State, tokens, key, steps: int) -> tuple[State, np.ndarray]:
    """The state after `steps` updates, and the loss before each update, (steps,) in nats."""
    losses = []
    for _ in range(steps):
        state, metrics = step(state, tokens, key)
        losses.append(float(metrics["loss"]))
    return state, np.array(losses)


def differing_bytes(tree) -> int:
    """Number of bytes that differ between the devices that hold a copy."""

    def differing(x) -> int:
        copies = [np.asarray(shard.data).tobytes() for shard in x.addressable_shards]
        rows = np.stack([np.frombuffer(copy, np.uint8) for copy in copies])
        return int(np.sum(np.any(rows != rows[:1], axis=0)))

    return sum(map(differing, jax.tree.leaves(tree)))


def replicated(state: State, mesh: Mesh) -> State:
    """A copy of the state on each device, as an update returns it, so that one program serves."""
    return jax.device_put(state, NamedSharding(mesh, PartitionSpec()))


def start(cfg: Config, key) -> tuple[State, Int[Array, "B T1"]]:
    """The first state and the batch."""
    key_init, key_data = jax.random.split(key)
    params = core_spec.init(llama.spec(cfg.model), key_init)
    tokens = jax.random.randint(key_data, (cfg.batch, cfg.context + 1), 0, cfg.model.vocab)
    return first_state(params, optax.adam(cfg.learning_rate)), tokens


def training(key, cfg: Config) -> Result:
    """The same updates on one device, on many by shard_map, and on many by pmap.

    Distances of parameters are relative to how far training moves them.
    """
    mesh = devices_in_a_row(cfg.devices, "data")
    state, tokens = start(cfg, key)
    on_one = jax.jit(functools.partial(train_step, cfg=cfg, accumulate=1))
    run = lambda step, state: train(step, state, tokens, key, cfg.steps)
    one, losses_one = run(on_one, state)
    many, losses_many = run(data_parallel(cfg, mesh), replicated(state, mesh))
    by_pmap, _ = run(data_parallel_by_pmap(cfg, mesh), replicated(state, mesh))
    moved = distance(one.params, state.params)
    metrics = {
        "first_loss": float(losses_many[0]),
        "last_loss": float(losses_many[-1]),
        "largest_loss_difference": float(np.max(np.abs(losses_many - losses_one))),
        "parameter_distance": distance(many.params, one.params) / moved,
        "parameter_distance_pmap": distance(by_pmap.params, many.params) / moved,
        "bytes_differing_between_devices": float(differing_bytes((many.params, many.opt))),
    }
    label = f"{cfg.devices} devices, {cfg.accumulate} micro-batches each"
    return Result(metrics, {"training.png": draw_losses(losses_one, losses_many, label)})


def communication(key, cfg: Config) -> Result:
    """The collectives of the compiled update."""
    state, tokens = start(cfg, key)
    mesh = devices_in_a_row(cfg.devices, "data")
    program = data_parallel(cfg, mesh).lower(replicated(state, mesh), tokens, key)
    exchanged = collectives(program.compile().as_text())
    bytes_of_parameters = sum(x.nbytes for x in jax.tree.leaves(state.params))
    bytes_all_reduced = sum(c.bytes for c in exchanged if c.kind == "all-reduce")
    metrics = {
        "all_reduces_per_update": executions(exchanged, "all-reduce"),
        "other_collectives": sum(c.times for c in exchanged if c.kind != "all-reduce"),
        "bytes_of_parameters": bytes_of_parameters,
        "bytes_all_reduced": bytes_all_reduced,
        "bytes_all_reduced_beside_gradients": bytes_all_reduced - bytes_of_parameters,
    }
    return Result({name: float(value) for name, value in metrics.items()})


def study(cfg: Config) -> dict[str, Part]:
    """Updates on one device and on many, and the collectives of an update."""
    return {
        "training": functools.partial(training, cfg=cfg),
        "communication": functools.partial(communication, cfg=cfg),
    }


def draw_losses(one: np.ndarray, many: np.ndarray, label: str):
    """The losses on one device and on many, and their difference, over the updates."""
    figure, (losses, difference) = figures.panels(2)
    losses.plot(one, label="one device")
    losses.plot(many, "o", ms=4, label=label)
    losses.set(title="training on one batch", xlabel="update", ylabel="loss (nats per token)")
    difference.plot(np.abs(many - one), "o-", ms=4)
    difference.set(title="difference of the losses", xlabel="update", ylim=(0, None))
    difference.set(ylabel="absolute difference (nats per token)")
    for ax in (losses, difference):
        ax.xaxis.get_major_locator().set_params(integer=True)
    return figures.legends(figure)
