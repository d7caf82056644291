"""ZeRO: optimiser state, gradients and parameters kept once among N devices, not once on each (Rajbhandari et al. 2020, arXiv:1910.02054).

Mixed-precision Adam holds for every parameter 2 bytes of it and 2 of its gradient (bfloat16), and 12 of optimiser state (float32: the parameter, its
first and its second moment). Data parallelism repeats all of it on every device. ZeRO splits more of it in each stage:

    stage                       exchanged in a step                                   bytes per parameter on a device
    0  nothing is split         all-reduce gradients                                  2 + 2 + 12        = 16
    1  optimiser state          all-reduce gradients, all-gather parameters           2 + 2 + 12 / N    = 4 + 12 / N
    2  and gradients            reduce-scatter gradients, all-gather parameters       2 + (2 + 12) / N  = 2 + 14 / N
    3  and parameters           all-gather each layer where it is used, forward       (2 + 2 + 12) / N  = 16 / N
                                and backward; reduce-scatter its gradient

An all-reduce is a reduce-scatter and an all-gather, so it sends 2 per parameter where each of those sends 1: stages 0, 2 and 3 send 2, 2 and at most 3
(section 7). Stage 1 as written here sends 3; a reduce-scatter would do there too, and is what makes it stage 2. In stage 3 a layer is gathered inside the
scan over layers, in a function that is recomputed in the backward pass (`jax.checkpoint`): whole layers exist one at a time, and gradients are scattered
layer by layer without being asked to, because the transpose of all-gather is reduce-scatter.

Layout: parameters are two arrays, `layers` (L, n), one row a layer, and `outer` (m,), embedding and last norm. Each row is filled up with zeros to a
multiple of N (less than N of them), and a device holds 1/N of every row. The step is two programs, `gradients` and `apply_gradients`, so that what is
kept between them are arrays whose bytes can be read off the devices; within stage 2, the whole gradient exists for a moment before it is scattered,
where DeepSpeed scatters it in buckets. The CPU's compiler carries bfloat16 through collectives as float32: counted are elements.
Simplified: `steps` updates on one batch of random tokens drawn from the key; no weight decay, no loss scaling (bfloat16 needs none)."""

import functools
import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

from panorax.core import spec as core_spec
from panorax.core.ranges import Count, Positive, Share, Whole, checked
from panorax.core.state import Result
from panorax.core.step import copies
from panorax.nets.decoders import decoder, llama
from panorax.ops.attention import attention, causal_mask
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
    """its dtype is that of parameters and gradients too"""
    devices: Count = 8
    """N"""
    batch: Count = 8
    """sequences per step, a multiple of the devices"""
    context: Count = 32
    """tokens predicted in each"""
    steps: Count = 20
    """updates compared with those of one device"""
    learning_rate: Positive = 1e-3
    b1: Share = 0.9
    b2: Share = 0.95
    eps: Positive = 1e-8
    seed: Whole = 0

    def __post_init__(self):
        if self.batch % self.devices:
            raise ValueError(f"batch {self.batch} must be a multiple of devices {self.devices}")


def parts(tree) -> dict:
    """A tree of Llama's parameters as the two that are kept apart."""
    return {
        "outer": {name: w for name, w in tree.items() if name != "layers"},
        "layers": tree["layers"],
    }


def pack(params, n: int, dtype) -> dict[str, Array]:
    """Parameters as `outer` (m,) and `layers` (L, n'), rows filled up with zeros to a multiple of `n`."""
    row = lambda tree: jnp.concatenate([w.ravel().astype(dtype) for w in jax.tree.leaves(tree)])
    filled = lambda tree: jnp.pad(row(tree), (0, -row(tree).size % n))
    return {"outer": filled(parts(params)["outer"]), "layers": jax.vmap(filled)(params["layers"])}


def unpack(row: Float[Array, " n"], like):
    """The arrays whose shapes are those of `like`, from a row; what the row was filled up with is left over."""
    arrays, tree = jax.tree.flatten(like)
    pieces = jnp.split(row, np.cumsum([math.prod(x.shape) for x in arrays]))
    return tree.unflatten([piece.reshape(x.shape) for piece, x in zip(pieces, arrays)])


def shapes(model: llama.Model) -> dict:
    """What `outer` and one row of `layers` hold."""
    both = parts(core_spec.abstract(llama.spec(model)))
    return both | {
        "layers": jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), both["layers"])
    }


def language_model_loss(
    packed, tokens_BT1: Int[Array, "B T1"], whole, model: llama.Model
) -> Float[Array, ""]:
    """Next-token loss of packed parameters; `whole(row)` makes a full row of what a device holds of it, where it is needed and no earlier."""
    outer = unpack(whole(packed["outer"]), shapes(model)["outer"])
    position_BT = jnp.broadcast_to(
        jnp.arange(tokens_BT1.shape[1] - 1)[None, :], tokens_BT1[:, 1:].shape
    )
    rotate = decoder.rotation(position_BT, position_BT.shape[1], model)
    attend = lambda q, k, v: (attention(q, k, v, causal_mask(position_BT, position_BT)), None)

    def layer_step(x_BTD, row):
        return llama.block(
            x_BTD, unpack(whole(row), shapes(model)["layers"]), rotate, attend, model
        )

    x_BTD, _ = jax.lax.scan(
        jax.checkpoint(layer_step),
        outer["embed"][tokens_BT1[:, :-1]].astype(model.dtype),
        packed["layers"],
    )
    return jnp.mean(cross_entropy(llama.unembed(outer, x_BTD, model), tokens_BT1[:, 1:]))


def gather(rows, to: str = "varying"):
    """Each row from its parts; the transpose is `reduce_scatter`. With `to="invarying"` its type says that it is the same everywhere."""
    return jax.tree.map(
        lambda x: jax.lax.all_gather(x, "data", axis=x.ndim - 1, tiled=True, to=to), rows
    )


def reduce_scatter(rows):
    """The sum over devices, each keeping its part."""
    return jax.tree.map(
        lambda x: jax.lax.psum_scatter(x, "data", scatter_dimension=x.ndim - 1, tiled=True), rows
    )


def gradients(params, tokens: Int[Array, "B T1"], stage: int, model: llama.Model):
    """On one device: the mean loss over all, and its gradient as the stage keeps it."""
    share = lambda params, whole: (
        language_model_loss(params, tokens, whole, model) / jax.lax.axis_size("data")
    )
    if stage == 3:
        loss, grads = jax.value_and_grad(share)(params, gather)
    else:
        loss, grads = jax.value_and_grad(share)(
            copies(params, frozenset({"data"})), lambda row: row
        )
        grads = reduce_scatter(grads) if stage == 2 else jax.lax.psum(grads, "data")
    return jax.lax.psum(loss, "data"), grads


def apply_gradients(grads, opt, t, stage: int, cfg: Config):
    """On one device: Adam on the part of the optimiser state it has, and the parameters as the stage keeps them. `t` is 1 in the first step."""
    if stage == 1:
        index = jax.lax.axis_index("data")
        grads = jax.tree.map(
            lambda g, x: jax.lax.dynamic_slice_in_dim(
                g, index * x.shape[-1], x.shape[-1], g.ndim - 1
            ),
            grads,
            opt["master"],
        )
    opt = adam(opt, jax.tree.map(lambda g: g.astype(jnp.float32), grads), t, cfg)
    params = jax.tree.map(lambda x: x.astype(cfg.model.dtype), opt["master"])
    if stage in (1, 2):
        params = gather(params, to="invarying")
    return params, opt


def adam(opt, grads, t, cfg: Config):
    """Adam (Kingma & Ba 2015), number by number: it does not matter which part of the state a device has."""
    first = jax.tree.map(lambda m, g: cfg.b1 * m + (1 - cfg.b1) * g, opt["first"], grads)
    second = jax.tree.map(
        lambda v, g: cfg.b2 * v + (1 - cfg.b2) * jnp.square(g), opt["second"], grads
    )
    step = lambda m, v: (m / (1 - cfg.b1**t)) / (jnp.sqrt(v / (1 - cfg.b2**t)) + cfg.eps)
    master = jax.tree.map(
        lambda x, m, v: x - cfg.learning_rate * step(m, v), opt["master"], first, second
    )
    return {"master": master, "first": first, "second": second}


def programs(stage: int, mesh: Mesh, cfg: Config):
    """`gradients` and `apply_gradients` over the devices of `mesh`, and where parameters and optimiser state are kept."""
    everywhere, split = (
        PartitionSpec(),
        {"outer": PartitionSpec("data"), "layers": PartitionSpec(None, "data")},
    )
    params, grads, opt = (split if stage >= first else everywhere for first in (3, 2, 1))
    over = functools.partial(jax.shard_map, mesh=mesh)
    find = over(
        functools.partial(gradients, stage=stage, model=cfg.model),
        in_specs=(params, PartitionSpec("data")),
        out_specs=(everywhere, grads),
    )
    opt = dict.fromkeys(("master", "first", "second"), opt)
    move = over(
        functools.partial(apply_gradients, stage=stage, cfg=cfg),
        in_specs=(grads, opt, everywhere),
        out_specs=(params, opt),
    )
    return jax.jit(find), jax.jit(move), params, opt


@dataclass(frozen=True)
class Trained:
    """Losses (steps,), the first gradient and the last master parameters without what rows were filled up with; bytes and exchanges of a step."""

    losses: np.ndarray
    grads: dict
    params: dict
    bytes: int
    found: list[Collective]


def train(stage: int, mesh: Mesh, params, tokens, cfg: Config) -> Trained:
    """`steps` updates from the same parameters; bytes are what is there when gradients have been computed and not yet applied."""
    find, move, params_at, opt_at = programs(stage, mesh, cfg)
    put = lambda tree, spec: jax.device_put(
        tree, jax.tree.map(functools.partial(NamedSharding, mesh), spec)
    )
    master = pack(params, mesh.size, jnp.float32)
    opt = put(
        {
            "master": master,
            "first": jax.tree.map(jnp.zeros_like, master),
            "second": jax.tree.map(jnp.zeros_like, master),
        },
        opt_at,
    )
    packed, tokens = (
        put(pack(params, mesh.size, cfg.model.dtype), params_at),
        put(tokens, PartitionSpec("data")),
    )
    find = find.lower(packed, tokens).compile()
    first = find(packed, tokens)[1]
    move = move.lower(first, opt, jnp.float32(1)).compile()
    losses = []
    for t in range(1, cfg.steps + 1):
        loss, grads = find(packed, tokens)
        held = bytes_on_a_device((packed, grads, opt))
        packed, opt = move(grads, opt, jnp.float32(t))
        losses.append(float(loss))
    found = collectives(find.as_text()) + collectives(move.as_text())
    return Trained(
        np.array(losses), trees(first, cfg.model), trees(opt["master"], cfg.model), held, found
    )


def trees(packed, model: llama.Model) -> dict:
    """Packed arrays, wherever they are, as trees of Llama's shapes on the host."""
    outer, layers = jax.device_get((packed["outer"], packed["layers"]))
    return {
        "outer": unpack(outer, shapes(model)["outer"]),
        "layers": jax.vmap(lambda row: unpack(row, shapes(model)["layers"]))(layers),
    }


def formula(stage: int, n: int, itemsize: int) -> float:
    """Bytes per parameter on one of `n` devices (section 5): parameter and gradient of `itemsize` bytes, 12 of optimiser state."""
    return sum(
        size / n if stage >= first else size
        for size, first in ((itemsize, 3), (itemsize, 2), (12, 1))
    )


def sent(found: list[Collective], n: int) -> int:
    """Numbers a device sends and receives, to leading order in `n`: an all-reduce is a reduce-scatter and an all-gather (section 7)."""
    whole = {"all-reduce": 2, "all-gather": 1, "reduce-scatter": n}
    return sum(whole[c.kind] * c.elements for c in found)


def study(cfg: Config, key) -> Result:
    """All stages on many devices beside stage 0 on one; distances are relative to the gradient, and to how far the parameters moved."""
    key_init, key_data = jax.random.split(key)
    params = core_spec.init(llama.spec(cfg.model), key_init)
    tokens = jax.random.randint(key_data, (cfg.batch, cfg.context + 1), 0, cfg.model.vocab)
    n, psi, itemsize = (
        cfg.devices,
        core_spec.count(llama.spec(cfg.model)),
        jnp.dtype(cfg.model.dtype).itemsize,
    )
    many = [train(stage, devices_in_a_row(n, "data"), params, tokens, cfg) for stage in STAGES]
    one = train(0, devices_in_a_row(1, "data"), params, tokens, cfg)
    metrics = {
        "parameters": psi,
        "padding_bound": n * (cfg.model.n_layers + 1) / psi,
        "first_loss": one.losses[0],
        "last_loss": one.losses[-1],
    }
    for stage, run in zip(STAGES, many):
        metrics[f"bytes_per_parameter_stage{stage}"] = run.bytes / psi
        metrics[f"formula_stage{stage}"] = formula(stage, n, itemsize)
        metrics[f"excess_stage{stage}"] = run.bytes / psi / formula(stage, n, itemsize) - 1
        metrics[f"sent_per_parameter_stage{stage}"] = sent(run.found, n) / psi
        for kind in ("all-reduce", "reduce-scatter", "all-gather"):
            metrics[f"{kind.replace('-', '_')}s_stage{stage}"] = executions(run.found, kind)
    size, moved = (
        distance(one.grads, jax.tree.map(np.zeros_like, one.grads)),
        distance(one.params, parts(params)),
    )
    metrics |= {
        "largest_loss_difference": max(np.max(np.abs(run.losses - one.losses)) for run in many),
        "largest_gradient_distance": max(distance(run.grads, one.grads) for run in many) / size,
        "largest_parameter_distance": max(distance(run.params, one.params) for run in many) / moved,
        "largest_distance_between_stages": max(distance(run.params, many[0].params) for run in many)
        / moved,
    }
    return Result({name: float(x) for name, x in metrics.items()}, {"zero.png": draw(metrics, cfg)})


def draw(metrics: dict[str, float], cfg: Config):
    """Bytes per parameter, measured beside the paper's formula."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.6), layout="constrained")
    ax, x = figure.subplots(), np.arange(len(STAGES))
    for offset, name, label in (
        (-0.2, "bytes_per_parameter", "measured"),
        (0.2, "formula", "formula"),
    ):
        bars = ax.bar(
            x + offset, [metrics[f"{name}_stage{stage}"] for stage in STAGES], 0.4, label=label
        )
        ax.bar_label(bars, fmt="%.2f", fontsize=8)
    ax.set_xticks(
        x, ["0: nothing split", "1: optimiser state", "2: and gradients", "3: and parameters"]
    )
    ax.set(title=f"bytes per parameter on each of {cfg.devices} devices, by stage of ZeRO")
    ax.margins(y=0.1)
    ax.legend(frameon=False)
    return figure
