"""ZeRO: optimiser state, gradients and parameters are split over N devices, not copied to each.

For every parameter, mixed-precision Adam holds 2 bytes of the parameter and 2 of its gradient
(bfloat16), and 12 of optimiser state (float32: the parameter and both moments). Data parallelism
keeps all of it on every device. Each stage of ZeRO splits more:

    stage                  exchanged in a step                        bytes per parameter and device
    0 nothing split        all-reduce gradients                       2 + 2 + 12       = 16
    1 optimiser state      all-reduce gradients, all-gather params    2 + 2 + 12 / N   = 4 + 12 / N
    2 and gradients        reduce-scatter grads, all-gather params    2 + (2 + 12) / N = 2 + 14 / N
    3 and parameters       all-gather each layer, forward and         (2 + 2 + 12) / N = 16 / N
                           backward; reduce-scatter its gradient

An all-reduce sends 2 numbers per parameter, as a reduce-scatter (1) followed by an all-gather (1).
Stages 0, 2 and 3 send 2, 2 and at most 3 (section 7). Stage 1 sends 3 here; with a reduce-scatter
in place of its all-reduce it is stage 2. In stage 3 a layer is gathered inside the scan over
layers, in a function that the backward pass recomputes (`jax.checkpoint`), so that one whole layer
exists at a time. Gradients are scattered layer by layer because the transpose of all-gather is
reduce-scatter.

Layout: parameters are two arrays, `layers` (L, n), one row per layer, and `outer` (m,), the
embedding and the last norm. Each row is padded with fewer than N zeros to a multiple of N; a device
holds 1/N of it.
The step is two programs, `gradients` and `apply_gradients`, so that the arrays between them can be
measured. In stage 2 the whole gradient exists for a moment before it is scattered; DeepSpeed
scatters it in buckets. The CPU's compiler sends bfloat16 as float32, so elements are counted.

Source: Rajbhandari et al. 2020, arXiv:1910.02054.
Simplified: `steps` updates on one batch of random tokens; no weight decay, no loss scaling.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

from panorax.core import figures
from panorax.core import spec as core_spec
from panorax.core.ranges import Count, DecayRate, Positive, Whole, checked
from panorax.core.state import Result
from panorax.core.step import copies
from panorax.core.study import Part, family
from panorax.nets.decoders import decoder, llama
from panorax.ops.losses import cross_entropy
from panorax.parallel.measures import (
    Collective,
    bytes_on_a_device,
    collectives,
    devices_in_a_row,
    distance,
    executions,
)

STAGES = (0, 1, 2, 3)


@checked
class Config:
    model: llama.Model = llama.Model(
        vocab=1024, d_model=128, n_layers=4, n_heads=4, n_kv_heads=2, d_ff=384, dtype="bfloat16"
    )
    """sizes of the language model; its dtype is also the dtype of parameters and gradients"""
    devices: Count = 8
    """devices that share the state [N]"""
    batch: Count = 8
    """sequences per update, a multiple of the devices"""
    context: Count = 32
    """tokens predicted in each sequence"""
    steps: Count = 20
    """updates compared with one device"""
    learning_rate: Positive = 1e-3
    """learning rate of Adam"""
    b1: DecayRate = 0.9
    """decay of Adam's first moment"""
    b2: DecayRate = 0.95
    """decay of Adam's second moment"""
    eps: Positive = 1e-8
    """constant added to the root of Adam's second moment"""
    seed: Whole = 0
    """seed of all random numbers"""

    def __post_init__(self):
        if self.batch % self.devices:
            raise ValueError(f"batch {self.batch} must be a multiple of devices {self.devices}")


def parts(tree) -> dict:
    """Llama's parameters as the trees `outer` and `layers`."""
    return {
        "outer": {name: w for name, w in tree.items() if name != "layers"},
        "layers": tree["layers"],
    }


@functools.partial(jax.jit, static_argnames=("n", "dtype"))
def pack(params, n: int, dtype) -> dict[str, Array]:
    """Parameters as `outer` (m,) and `layers` (L, k), rows padded with zeros to a multiple of n."""
    row = lambda tree: jnp.concatenate([w.ravel().astype(dtype) for w in jax.tree.leaves(tree)])
    padded = lambda tree: jnp.pad(row(tree), (0, -row(tree).size % n))
    return {"outer": padded(parts(params)["outer"]), "layers": jax.vmap(padded)(params["layers"])}


def unpack(row: Float[Array, " n"], like):
    """The tree of arrays that a row holds, with the shapes of `like`; padding is dropped."""
    arrays, tree = jax.tree.flatten(like)
    pieces = jnp.split(row, np.cumsum([math.prod(x.shape) for x in arrays]))
    return tree.unflatten([piece.reshape(x.shape) for piece, x in zip(pieces, arrays)])


def shapes(model: llama.Model) -> dict:
    """Shapes of the parameters in `outer` and in one row of `layers`."""
    both = parts(core_spec.abstract(llama.spec(model)))
    one_layer = lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype)
    return both | {"layers": jax.tree.map(one_layer, both["layers"])}


def language_model_loss(
    packed, tokens_BT1: Int[Array, "B T1"], whole, model: llama.Model
) -> Float[Array, ""]:
    """Next-token loss in nats of packed parameters.

    `whole(row)` gathers a row from the part that a device holds, just before the row is used.
    """
    outer = unpack(whole(packed["outer"]), shapes(model)["outer"])
    B, T = tokens_BT1[:, 1:].shape
    position_BT = jnp.broadcast_to(jnp.arange(T)[None, :], (B, T))
    mask_1TT = jnp.ones((1, T, T), bool)
    attend = decoder.attention_of(decoder.full_pass(position_BT, model, mask_1TT), model)

    def layer_step(x_BTD, row):
        layer = unpack(whole(row), shapes(model)["layers"])
        return llama.block(x_BTD, layer, attend, model)

    x_BTD = llama.embed(outer, tokens_BT1[:, :-1], position_BT, model)
    x_BTD, _ = jax.lax.scan(jax.checkpoint(layer_step), x_BTD, packed["layers"])
    logits_BTV = llama.unembed(outer, x_BTD, model).logits()
    return jnp.mean(cross_entropy(logits_BTV, tokens_BT1[:, 1:]))


def gather(rows, to: str = "varying"):
    """Gathers each row from its parts; the transpose is `reduce_scatter`.

    With `to="invarying"` the result is typed as equal on all devices.
    """
    return jax.tree.map(
        lambda x: jax.lax.all_gather(x, "data", axis=x.ndim - 1, tiled=True, to=to), rows
    )


def reduce_scatter(rows):
    """The sum of rows over devices; each device keeps its part."""
    return jax.tree.map(
        lambda x: jax.lax.psum_scatter(x, "data", scatter_dimension=x.ndim - 1, tiled=True), rows
    )


def gradients(params, tokens: Int[Array, "B T1"], stage: int, model: llama.Model):
    """On one device: the mean loss over all devices, and the gradient that the stage keeps."""
    share = lambda params, whole: (
        language_model_loss(params, tokens, whole, model) / jax.lax.axis_size("data")
    )
    if stage == 3:
        loss, grads = jax.value_and_grad(share)(params, gather)
    else:
        local = copies(params, frozenset({"data"}))
        loss, grads = jax.value_and_grad(share)(local, lambda row: row)
        grads = reduce_scatter(grads) if stage == 2 else jax.lax.psum(grads, "data")
    return jax.lax.psum(loss, "data"), grads


def apply_gradients(grads, opt, t, stage: int, cfg: Config):
    """On one device: Adam on its part of the optimiser state; parameters as the stage keeps them.

    `t` is 1 in the first step.
    """
    if stage == 1:
        index = jax.lax.axis_index("data")
        part = lambda g, x: jax.lax.dynamic_slice_in_dim(
            g, index * x.shape[-1], x.shape[-1], g.ndim - 1
        )
        grads = jax.tree.map(part, grads, opt["master"])
    opt = adam(opt, jax.tree.map(lambda g: g.astype(jnp.float32), grads), t, cfg)
    params = jax.tree.map(lambda x: x.astype(cfg.model.dtype), opt["master"])
    if stage in (1, 2):
        params = gather(params, to="invarying")
    return params, opt


def adam(opt, grads, t, cfg: Config):
    """Adam (Kingma & Ba 2015), elementwise, so that a device can update any part of the state."""
    first = jax.tree.map(lambda m, g: cfg.b1 * m + (1 - cfg.b1) * g, opt["first"], grads)
    second = jax.tree.map(
        lambda v, g: cfg.b2 * v + (1 - cfg.b2) * jnp.square(g), opt["second"], grads
    )
    step = lambda m, v: (m / (1 - cfg.b1**t)) / (jnp.sqrt(v / (1 - cfg.b2**t)) + cfg.eps)
    master = jax.tree.map(
        lambda x, m, v: x - cfg.learning_rate * step(m, v), opt["master"], first, second
    )
    return {"master": master, "first": first, "second": second}


class Programs(NamedTuple):
    """The two programs of a step, and the PartitionSpecs of parameters and optimiser state."""

    gradients: Callable
    """(params, tokens) -> (loss, grads)"""
    apply_gradients: Callable
    """(grads, opt, t) -> (params, opt)"""
    params: Any
    """PartitionSpecs of the packed parameters"""
    opt: Any
    """PartitionSpecs of the optimiser state"""


def programs(stage: int, mesh: Mesh, cfg: Config) -> Programs:
    """`gradients` and `apply_gradients` of a stage over the devices of `mesh`."""
    everywhere = PartitionSpec()
    split = {"outer": PartitionSpec("data"), "layers": PartitionSpec(None, "data")}
    params, grads, opt = (split if stage >= first else everywhere for first in (3, 2, 1))
    opt = dict.fromkeys(("master", "first", "second"), opt)
    over = functools.partial(jax.shard_map, mesh=mesh)
    to_gradients = over(
        functools.partial(gradients, stage=stage, model=cfg.model),
        in_specs=(params, PartitionSpec("data")),
        out_specs=(everywhere, grads),
    )
    to_params = over(
        functools.partial(apply_gradients, stage=stage, cfg=cfg),
        in_specs=(grads, opt, everywhere),
        out_specs=(params, opt),
    )
    return Programs(jax.jit(to_gradients), jax.jit(to_params), params, opt)


class Trained(NamedTuple):
    """One training, without the padding of rows."""

    losses: np.ndarray
    """loss before each update, (steps,), in nats per token"""
    grads: dict
    """gradient at the first parameters"""
    params: dict
    """float32 parameters after the last update"""
    bytes: int
    """bytes on a device between the two programs of a step"""
    collectives: list[Collective]
    """collectives of a step"""


def train(stage: int, mesh: Mesh, params, tokens, cfg: Config) -> Trained:
    """`steps` updates of a stage."""
    step = programs(stage, mesh, cfg)
    place = lambda tree, spec: jax.device_put(
        tree, jax.tree.map(functools.partial(NamedSharding, mesh), spec)
    )
    master = pack(params, mesh.size, jnp.float32)
    zeros = jax.tree.map(jnp.zeros_like, master)
    opt = place({"master": master, "first": zeros, "second": zeros}, step.opt)
    packed = place(pack(params, mesh.size, cfg.model.dtype), step.params)
    tokens = place(tokens, PartitionSpec("data"))
    to_gradients = step.gradients.lower(packed, tokens).compile()
    _, first = to_gradients(packed, tokens)
    to_params = step.apply_gradients.lower(first, opt, jnp.float32(1)).compile()
    losses = []
    for t in range(1, cfg.steps + 1):
        loss, grads = to_gradients(packed, tokens)
        held = bytes_on_a_device((packed, grads, opt))
        packed, opt = to_params(grads, opt, jnp.float32(t))
        losses.append(float(loss))
    return Trained(
        losses=np.array(losses),
        grads=trees(first, cfg.model),
        params=trees(opt["master"], cfg.model),
        bytes=held,
        collectives=collectives(to_gradients.as_text()) + collectives(to_params.as_text()),
    )


def trees(packed, model: llama.Model) -> dict:
    """Packed arrays on any devices as trees of Llama's shapes on the host."""
    on_host = {name: np.asarray(packed[name]) for name in ("outer", "layers")}
    return jax.device_get(_unpacked(on_host, model))


@functools.partial(jax.jit, static_argnames="model")
def _unpacked(packed, model: llama.Model) -> dict:
    one_layer = lambda row: unpack(row, shapes(model)["layers"])
    outer = unpack(packed["outer"], shapes(model)["outer"])
    return {"outer": outer, "layers": jax.vmap(one_layer)(packed["layers"])}


def formula(stage: int, n: int, itemsize: int) -> float:
    """Bytes per parameter on one of `n` devices (section 5).

    A parameter and its gradient take `itemsize` bytes each, its optimiser state takes 12.
    """
    sizes = ((itemsize, 3), (itemsize, 2), (12, 1))
    return sum(size / n if stage >= first else size for size, first in sizes)


def sent(exchanged: list[Collective], n: int) -> int:
    """Numbers that a device sends and receives in a step, to leading order in `n` (section 7)."""
    whole = {"all-reduce": 2, "all-gather": 1, "reduce-scatter": n}
    return sum(whole[c.kind] * c.elements for c in exchanged)


def memory_metrics(runs: dict[int, Trained], cfg: Config) -> dict[str, float]:
    """Bytes per parameter by stage, beside the formula."""
    parameters = core_spec.count(llama.spec(cfg.model))
    itemsize = jnp.dtype(cfg.model.dtype).itemsize
    measured = {stage: run.bytes / parameters for stage, run in runs.items()}
    exact = {stage: formula(stage, cfg.devices, itemsize) for stage in runs}
    excess = {stage: measured[stage] / exact[stage] - 1 for stage in runs}
    return {
        "parameters": float(parameters),
        "padding_bound": cfg.devices * (cfg.model.n_layers + 1) / parameters,
        **family("bytes_per_parameter_stage{}", measured),
        **family("formula_stage{}", exact),
        **family("excess_stage{}", excess),
    }


def communication_metrics(runs: dict[int, Trained], cfg: Config) -> dict[str, float]:
    """Collectives of a step and numbers sent per parameter, by stage."""
    parameters = core_spec.count(llama.spec(cfg.model))
    by_kind = lambda kind: {stage: executions(r.collectives, kind) for stage, r in runs.items()}
    per_parameter = {s: sent(run.collectives, cfg.devices) / parameters for s, run in runs.items()}
    return {
        **family("sent_per_parameter_stage{}", per_parameter),
        **family("all_reduces_stage{}", by_kind("all-reduce")),
        **family("reduce_scatters_stage{}", by_kind("reduce-scatter")),
        **family("all_gathers_stage{}", by_kind("all-gather")),
    }


def training_metrics(runs: dict[int, Trained], one: Trained, start) -> dict[str, float]:
    """Distances between the stages, and of all stages from one device.

    Distances are relative to the gradient, and to how far training moves the parameters.
    """
    size = distance(one.grads, jax.tree.map(np.zeros_like, one.grads))
    moved = distance(one.params, parts(start))
    largest = lambda measure: float(max(map(measure, runs.values())))
    from_one = lambda run: distance(run.params, one.params)
    from_stage_0 = lambda run: distance(run.params, runs[0].params)
    return {
        "first_loss": float(one.losses[0]),
        "last_loss": float(one.losses[-1]),
        "largest_loss_difference": largest(lambda run: np.max(np.abs(run.losses - one.losses))),
        "largest_gradient_distance": largest(lambda run: distance(run.grads, one.grads)) / size,
        "largest_parameter_distance": largest(from_one) / moved,
        "largest_distance_between_stages": largest(from_stage_0) / moved,
    }


def stages(key, cfg: Config) -> Result:
    """The same updates in all stages on many devices, and in stage 0 on one device."""
    mesh = devices_in_a_row(cfg.devices, "data")
    key_init, key_data = jax.random.split(key)
    params = core_spec.init(llama.spec(cfg.model), key_init)
    tokens = jax.random.randint(key_data, (cfg.batch, cfg.context + 1), 0, cfg.model.vocab)
    runs = {stage: train(stage, mesh, params, tokens, cfg) for stage in STAGES}
    one = train(0, devices_in_a_row(1, "data"), params, tokens, cfg)
    metrics = {
        **memory_metrics(runs, cfg),
        **communication_metrics(runs, cfg),
        **training_metrics(runs, one, params),
    }
    return Result(metrics, {"memory.png": draw_memory(metrics, cfg.devices)})


def study(cfg: Config) -> dict[str, Part]:
    """One part: all stages are compared with each other."""
    return {"stages": functools.partial(stages, cfg=cfg)}


def draw_memory(metrics: dict[str, float], devices: int):
    """Bytes per parameter by stage, measured and by the paper's formula."""
    figure, (ax,) = figures.panels(width=6.8)
    bars = (("bytes_per_parameter_stage{}", "measured"), ("formula_stage{}", "formula"))
    for offset, (pattern, label) in zip((-0.2, 0.2), bars):
        heights = [metrics[pattern.format(stage)] for stage in STAGES]
        ax.bar_label(ax.bar(np.add(STAGES, offset), heights, 0.4, label=label), fmt="%.2f")
    split = ("nothing split", "optimiser state", "and gradients", "and parameters")
    ax.set_xticks(STAGES, split)
    ax.set(title=f"ZeRO: memory of one of {devices} devices", ylabel="bytes per parameter")
    ax.set(xlabel="stage 0 to 3: what is split")
    ax.margins(y=0.1)
    return figures.legends(figure)
