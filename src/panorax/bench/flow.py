"""Flow matching on digits with a U-Net on the CPU, beside diffusers' U-Net in PyTorch eager.

Compares training and sampling by Heun's method, then full and depthwise convolutions alone.

XLA has a fast program for one layout of convolutions: channels last, kernels as (rows, columns, in,
out). Outside a loop XLA converts other layouts to it. Inside a scan of training steps the gradients
that autodiff makes keep other layouts and run as plain loops. `panorax.ops.convolution` writes both
gradients in the fast layout, and convolutions then run at matrix-product speed. They take more than
half of a step; the remainder is norms, layout copies for the kernel gradients, and SiLUs.

XLA in JAX 0.10.2 gives a convolution one core per 64 output channels, so one core does most of the
work. One device per core (`--mesh data=2`) uses both.
"""

import functools
from pathlib import Path

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from panorax.bench import convolutions
from panorax.bench.panorax_llama import ADAMW
from panorax.bench.rounds import compare
from panorax.bench.table import Table
from panorax.core.config import Run
from panorax.core.ranges import Count, checked
from panorax.core.step import scan_steps, stacked
from panorax.core.study import family
from panorax.data import images
from panorax.engine.loop import Clock
from panorax.generative import flow_matching
from panorax.interop import diffusers_unet
from panorax.nets import unet
from panorax.ops.solvers import heun
from panorax.parallel.sharding import make_mesh, placement

HERE = "panorax.bench.flow:"
TRAINING = {
    "panorax": HERE + "training",
    "panorax, two devices": HERE + "training_on_two",
    "torch": "panorax.bench.torch_unet:training",
}
SAMPLING = {
    "panorax": HERE + "sampling",
    "panorax, two devices": HERE + "sampling_on_two",
    "torch": "panorax.bench.torch_unet:sampling",
}
CHUNK, HEUN_STEPS = 10, 8


@checked
class Config:
    """The network and the sizes of a round."""

    net: unet.Config = unet.Config()
    """the U-Net; by default the network of generative/flow_matching_unet"""
    batch: Count = 128
    """images per training step [B]"""
    steps: Count = 20
    """training steps per round, a multiple of 10"""
    samples: Count = 100
    """images sampled at once"""
    convolved: tuple[Count, Count, Count] = (128, 8, 64)
    """images, pixels per side and channels of the convolutions alone"""
    rounds: Count = 5
    """counted rounds"""


def config(setting: dict) -> flow_matching.Config:
    """The config of the system that contenders run, from a `setting` decoded from JSON."""
    net = unet.Config(
        **{name: tuple(x) if isinstance(x, list) else x for name, x in setting["net"].items()}
    )
    return flow_matching.Config(
        net, images.Config(), ADAMW, Run(steps=100, chunk=CHUNK), setting["batch"], guidance=1.0
    )


def benchmark(cfg: Config, folder: Path) -> Table:
    """Compares training, sampling and convolutions.

    All contenders train from the same weights on the same batches, noise and times, and sample from
    the same noise.
    """
    table, setting = Table("images/s"), {**vars(cfg), "net": vars(cfg.net)}
    prepare(setting, folder)
    for case, contenders, fact, metric in (
        ("training", TRAINING, "losses", "largest_loss_difference"),
        ("sampling", SAMPLING, "pixels", "largest_pixel_difference"),
    ):
        measured = compare(contenders, setting, folder, cfg.rounds)
        table.add(case, measured, "torch")
        values = [rounds.facts[fact] for rounds in measured.values()]
        table.metrics[metric] = float(np.ptp(values, axis=0).max())
    convolutions.prepare(*cfg.convolved, folder)
    differences = {}
    for case, contenders in (
        ("convolution", convolutions.CONVOLUTION),
        ("depthwise", convolutions.DEPTHWISE),
    ):
        measured = compare(contenders, {}, folder, cfg.rounds)
        table.add(case, measured, "torch")
        norms = np.array([rounds.facts["norms"] for rounds in measured.values()])
        differences[case] = np.ptp(norms, axis=0).max() / norms.max()
    table.metrics |= family("{}_largest_difference", differences)
    return table


def prepare(setting: dict, folder: Path) -> None:
    """Writes the files that contenders share.

    weights.npz: parameters under diffusers' names, each moved away from its initial value.
    batches.npz: batches with the noise, times and dropped labels that our step draws.
    noise.npz: noise and labels to sample from.
    """
    cfg = config(setting)
    key_init, key_move, key_noise = jax.random.split(jax.random.key(0), 3)
    system = flow_matching.system(cfg)
    leaves, tree = jax.tree.flatten(system.init_state(key_init).params)
    keys = jax.random.split(key_move, len(leaves))
    moved = [x + 0.02 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
    np.savez(folder / "weights.npz", **diffusers_unet.to_diffusers(tree.unflatten(moved)))
    steps = [
        _drawn(cfg, system.batches(step), jax.random.fold_in(jax.random.key(0), step))
        for step in range(setting["steps"])
    ]
    batches = {name: np.stack([step[name] for step in steps]) for name in steps[0]}
    np.savez(folder / "batches.npz", **batches)
    label = np.arange(setting["samples"], dtype=np.int32) % 10
    x0 = jax.random.normal(key_noise, (len(label), *cfg.data.shape))
    np.savez(folder / "noise.npz", x0=x0, label=label)


def _drawn(cfg, batch, key) -> dict[str, np.ndarray]:
    """A batch with the noise, times and dropped labels that `flow_matching.loss_fn` draws."""
    key_noise, key_time, key_drop = jax.random.split(key, 3)
    dropped = jax.random.bernoulli(key_drop, cfg.label_dropout, batch["label"].shape)
    label = np.where(dropped, cfg.data.classes, batch["label"])
    return {
        "x1": batch["x"],
        "x0": jax.random.normal(key_noise, batch["x"].shape),
        "t": jax.random.uniform(key_time, label.shape),
        "label": label,
    }


def _params(cfg: flow_matching.Config, folder: Path):
    with np.load(folder / "weights.npz") as file:
        return diffusers_unet.from_diffusers(dict(file), cfg.net)


def training_on_two(setting: dict, folder: Path):
    """Training on two devices, one per core, with half of the batch each (`--mesh data=2`)."""
    jax.config.update("jax_num_cpu_devices", 2)
    return training(setting, folder)


def sampling_on_two(setting: dict, folder: Path):
    """Sampling on two devices, with half of the samples each."""
    jax.config.update("jax_num_cpu_devices", 2)
    return sampling(setting, folder)


def training(setting: dict, folder: Path):
    """Training on all devices as in the training loop, including the averaged parameters."""
    cfg, key, clock = config(setting), jax.random.key(0), Clock()
    mesh = make_mesh(f"data={jax.device_count()}")
    system, params = flow_matching.system(cfg), _params(cfg, folder)
    extra = flow_matching.Extra((), jax.tree.map(jax.numpy.copy, params))
    state = system.init_state(key).replace(params=params, extra=extra)
    place = placement(system, state, mesh)
    state = jax.device_put(state, place.state)
    batches = [
        jax.device_put(stacked(system.batches, i, CHUNK), place.stacked_batch)
        for i in range(0, setting["steps"], CHUNK)
    ]
    with jax.set_mesh(mesh):
        program = clock.compile(
            lambda state, batches: scan_steps(system.train_step, state, batches, key, CHUNK),
            state,
            batches[0],
            donate_argnums=0,
        )
    single = jax.jit(
        lambda state, batch, key: system.train_step(
            state, batch, jax.random.fold_in(key, state.step)
        )
    )
    losses, first = [], state
    for step in range(5):
        first, metrics = single(first, system.batches(step), key)
        losses.append(float(metrics["loss"]))
    facts = {"losses": losses, "compile_seconds": clock.compiling, "version": jax.__version__}

    def work():
        nonlocal state
        for chunk in batches:
            state, _ = program(state, chunk)
        jax.block_until_ready(state)
        return setting["steps"] * cfg.batch

    return facts, work


def sampling(setting: dict, folder: Path):
    """`HEUN_STEPS` steps of Heun's method on all devices, all samples at once."""
    cfg, clock, mesh = config(setting), Clock(), make_mesh(f"data={jax.device_count()}")
    params = jax.device_put(_params(cfg, folder), NamedSharding(mesh, PartitionSpec()))
    with np.load(folder / "noise.npz") as file:
        x0, label = jax.device_put(
            (file["x0"], file["label"]), NamedSharding(mesh, PartitionSpec("data"))
        )
    ts = np.linspace(0.0, 1.0, HEUN_STEPS + 1, dtype=np.float32)
    field = lambda params, label: flow_matching.velocity(
        functools.partial(unet.apply, params, cfg=cfg.net), label, cfg.data.classes, 1
    )
    draw = lambda params, x0, label: heun(field(params, label), x0, ts)
    with jax.set_mesh(mesh):
        program = clock.compile(draw, params, x0, label)
    facts = {
        "pixels": np.asarray(program(params, x0, label)).ravel().tolist(),
        "compile_seconds": clock.compiling,
        "version": jax.__version__,
    }

    def work():
        for _ in range(3):
            jax.block_until_ready(program(params, x0, label))
        return 3 * len(label)

    return facts, work
