"""Flow matching on digits with a U-Net on the CPU, beside the same network (diffusers' `UNet2DModel`) in PyTorch eager: training, and sampling by
Heun's method. Below them the convolution alone, of all channels with all and of each with itself.

XLA has a fast program for one form of convolution: channels last, the kernel as (rows, columns, in, out). It brings others into this form, but not
inside a loop, and the gradients that autodiff makes are of other forms: those of a scan of steps run in plain loops. `panorax.ops.convolution` writes
both gradients in the fast form. Convolutions then run at the speed of products of matrices, and more than half of a step is theirs; the rest is
norms, copies in another order for the gradients of kernels, and SiLUs. XLA of JAX 0.10.2 gives a convolution one core for every 64 of its output channels,
so that one does most of the work; with a device for each core (`--mesh data=2`) all of it is shared.
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
    """The network of generative/flow_matching_unet, and `steps` of a round, a multiple of 10."""

    net: unet.Config = unet.Config()
    batch: Count = 128
    steps: Count = 20
    samples: Count = 100
    convolved: tuple[Count, Count, Count] = (128, 8, 64)
    """images, their side and their channels for the convolution alone"""
    rounds: Count = 5


def config(setting: dict) -> flow_matching.Config:
    """The system as a contender runs it."""
    net = unet.Config(
        **{name: tuple(x) if isinstance(x, list) else x for name, x in setting["net"].items()}
    )
    return flow_matching.Config(
        net, images.Config(), ADAMW, Run(steps=100, chunk=CHUNK), setting["batch"], guidance=1.0
    )


def benchmark(cfg: Config, folder: Path) -> Table:
    """Training on the same batches, noise and times from the same weights; then the same noise turned into digits."""
    table, setting = Table("images/s"), {**vars(cfg), "net": vars(cfg.net)}
    prepare(setting, folder)
    convolutions.prepare(*cfg.convolved, folder)
    trained, sampled = (
        compare(contenders, setting, folder, cfg.rounds) for contenders in (TRAINING, SAMPLING)
    )
    table.add("training", trained, "torch")
    table.add("sampling", sampled, "torch")
    for case, contenders in (
        ("convolution", convolutions.CONVOLUTION),
        ("depthwise", convolutions.DEPTHWISE),
    ):
        alone = compare(contenders, {}, folder, cfg.rounds)
        table.add(case, alone, "torch")
        norms = np.array([one.facts["norms"] for one in alone.values()])
        table.metrics[f"{case}_largest_difference"] = float(
            np.ptp(norms, axis=0).max() / norms.max()
        )
    table.metrics["largest_loss_difference"] = float(
        np.ptp([one.facts["losses"] for one in trained.values()], axis=0).max()
    )
    table.metrics["largest_pixel_difference"] = float(
        np.ptp([one.facts["pixels"] for one in sampled.values()], axis=0).max()
    )
    return table


def prepare(setting: dict, folder: Path) -> None:
    """Weights by diffusers' names, every one away from its initial value; batches with the noise, times and dropped labels that our step draws; noise
    to sample from."""
    cfg = config(setting)
    key_init, key_move, key_noise = jax.random.split(jax.random.key(0), 3)
    system = flow_matching.system(cfg)
    leaves, tree = jax.tree.flatten(system.init_state(key_init).params)
    params = tree.unflatten(
        [
            x + 0.02 * jax.random.normal(k, x.shape)
            for x, k in zip(leaves, jax.random.split(key_move, len(leaves)), strict=True)
        ]
    )
    np.savez(folder / "weights.npz", **diffusers_unet.to_diffusers(params))
    steps = [
        _drawn(cfg, system.batches(step), jax.random.fold_in(jax.random.key(0), step))
        for step in range(setting["steps"])
    ]
    np.savez(
        folder / "batches.npz",
        **{name: np.stack([step[name] for step in steps]) for name in steps[0]},
    )
    label = np.arange(setting["samples"], dtype=np.int32) % 10
    np.savez(
        folder / "noise.npz",
        x0=jax.random.normal(key_noise, (len(label), *cfg.data.shape)),
        label=label,
    )


def _drawn(cfg, batch, key) -> dict[str, np.ndarray]:
    """The random numbers of `flow_matching.loss_fn`."""
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
    """As `panorax run --mesh data=2` trains: the two cores are a device each, with half of the batch."""
    jax.config.update("jax_num_cpu_devices", 2)
    return training(setting, folder)


def sampling_on_two(setting: dict, folder: Path):
    """Half of the samples on each of two devices."""
    jax.config.update("jax_num_cpu_devices", 2)
    return sampling(setting, folder)


def training(setting: dict, folder: Path):
    """Training as the loop does it on all devices, the mean of the parameters included."""
    cfg, key, clock, mesh = (
        config(setting),
        jax.random.key(0),
        Clock(),
        make_mesh(f"data={jax.device_count()}"),
    )
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
        for some in batches:
            state, _ = program(state, some)
        jax.block_until_ready(state)
        return setting["steps"] * cfg.batch

    return facts, work


def sampling(setting: dict, folder: Path):
    """`HEUN_STEPS` steps of Heun's method for all labels at once, on all devices."""
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
