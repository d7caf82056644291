"""Flow matching on digits with a U-Net on the CPU, beside the same network (diffusers' `UNet2DModel`) in PyTorch eager: training, and sampling by Heun's method.

Where convolution on a CPU stands, 3 x 3 over 128 images of 8 x 8 with 64 channels, forward and backward, in one trial: XLA's own takes 19 ms by itself, NHWC
or NCHW alike, but 940 ms inside a scan, where it computes the gradient of the kernel in plain loops; with that gradient as nine products of matrices, as in
`panorax.ops.convolution`, 19 ms in a scan too. Columns of neighbours gathered into one product (im2col) take 18 to 28 ms; Winograd's way takes 9, but
four times as long to compile; PyTorch, 10 to 15. Depthwise convolution, of which there is none here, takes XLA 16 ms at 32 channels and nine shifted products 0.8.
"""

from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from panorax.bench.panorax_llama import ADAMW
from panorax.bench.rounds import compare
from panorax.bench.table import Table
from panorax.core.config import Run
from panorax.core.loop import Clock, scan_steps, stacked
from panorax.core.ranges import Count, check
from panorax.generative import digits, flow_matching
from panorax.interop import diffusers_unet
from panorax.nets import unet
from panorax.ops.solvers import heun

HERE = "panorax.bench.flow:"
TRAINING = {"panorax": HERE + "training", "torch": "panorax.bench.torch_unet:training"}
SAMPLING = {"panorax": HERE + "sampling", "torch": "panorax.bench.torch_unet:sampling"}
CHUNK, HEUN_STEPS = 10, 8


@dataclass(frozen=True)
class Config:
    """The network of generative/flow_matching_unet, and `steps` of a round, a multiple of 10."""

    net: unet.Config = unet.Config()
    batch: Count = 128
    steps: Count = 20
    samples: Count = 100
    rounds: Count = 5

    def __post_init__(self):
        check(self)


def config(setting: dict) -> flow_matching.Config:
    """The system as a contender runs it."""
    net = unet.Config(**{name: tuple(x) if isinstance(x, list) else x for name, x in setting["net"].items()})
    return flow_matching.Config(net, digits.Config(), ADAMW, Run(steps=100, chunk=CHUNK), setting["batch"], guidance=1.0)


def benchmark(cfg: Config, folder: Path) -> Table:
    """Training on the same batches, noise and times from the same weights; then the same noise turned into digits."""
    table, setting = Table("images/s"), {**vars(cfg), "net": vars(cfg.net)}
    prepare(setting, folder)
    trained, sampled = (compare(contenders, setting, folder, cfg.rounds) for contenders in (TRAINING, SAMPLING))
    table.add("training", trained, "torch")
    table.add("sampling", sampled, "torch")
    table.metrics["largest_loss_difference"] = float(np.ptp([one.facts["losses"] for one in trained.values()], axis=0).max())
    table.metrics["largest_pixel_difference"] = float(np.ptp([one.facts["pixels"] for one in sampled.values()], axis=0).max())
    return table


def prepare(setting: dict, folder: Path) -> None:
    """Weights by diffusers' names, every one away from its initial value; batches with the noise, times and dropped labels that our step draws; noise
    to sample from."""
    cfg = config(setting)
    key_init, key_move, key_noise = jax.random.split(jax.random.key(0), 3)
    leaves, tree = jax.tree.flatten(flow_matching.init_state(key_init, cfg).params)
    params = tree.unflatten([x + 0.02 * jax.random.normal(k, x.shape) for x, k in zip(leaves, jax.random.split(key_move, len(leaves)), strict=True)])
    np.savez(folder / "weights.npz", **diffusers_unet.to_diffusers(params))
    system = flow_matching.system(cfg)
    steps = [_drawn(cfg, system.batches(step), jax.random.fold_in(jax.random.key(0), step)) for step in range(setting["steps"])]
    np.savez(folder / "batches.npz", **{name: np.stack([step[name] for step in steps]) for name in steps[0]})
    label = np.arange(setting["samples"], dtype=np.int32) % 10
    np.savez(folder / "noise.npz", x0=jax.random.normal(key_noise, (len(label), *digits.shape(cfg.data))), label=label)


def _drawn(cfg, batch, key) -> dict[str, np.ndarray]:
    """The random numbers of `flow_matching.loss_fn`."""
    key_noise, key_time, key_drop = jax.random.split(key, 3)
    dropped = jax.random.bernoulli(key_drop, cfg.label_dropout, batch["label"].shape)
    label = np.where(dropped, flow_matching.no_label(cfg), batch["label"])
    return {"x1": batch["x"], "x0": jax.random.normal(key_noise, batch["x"].shape), "t": jax.random.uniform(key_time, label.shape), "label": label}


def _params(cfg: flow_matching.Config, folder: Path):
    with np.load(folder / "weights.npz") as file:
        return diffusers_unet.from_diffusers(dict(file), cfg.net)


def training(setting: dict, folder: Path):
    """Training as the loop does it, the mean of the parameters included."""
    cfg, key, clock = config(setting), jax.random.key(0), Clock()
    system, params = flow_matching.system(cfg), _params(cfg, folder)
    fresh = flow_matching.init_state(key, cfg)
    state = fresh.replace(params=params, extra=flow_matching.Extra(params))
    state = jax.tree.map(jax.numpy.copy, state)
    batches = [stacked(system.batches, i, CHUNK) for i in range(0, setting["steps"], CHUNK)]
    program = clock.compile(lambda state, batches: scan_steps(system.train_step, state, batches, key, CHUNK), state, batches[0], donate_argnums=0)
    single = jax.jit(lambda state, batch, key: system.train_step(state, batch, jax.random.fold_in(key, state.step)))
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
    """`HEUN_STEPS` steps of Heun's method for all labels at once."""
    cfg, clock = config(setting), Clock()
    params = _params(cfg, folder)
    with np.load(folder / "noise.npz") as file:
        x0, label = file["x0"], file["label"]
    ts = np.linspace(0.0, 1.0, HEUN_STEPS + 1, dtype=np.float32)
    draw = lambda params, x0: heun(flow_matching.velocity(params, label, 1, cfg), x0, ts)
    program = clock.compile(draw, params, x0)
    facts = {"pixels": np.asarray(program(params, x0)).ravel().tolist(), "compile_seconds": clock.compiling, "version": jax.__version__}

    def work():
        for _ in range(3):
            jax.block_until_ready(program(params, x0))
        return 3 * len(label)

    return facts, work
