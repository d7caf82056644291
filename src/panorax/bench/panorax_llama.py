"""Panorax as a contender in language-model comparisons.

Training is the program that `panorax run lm/llama` compiles; generation runs as in `panorax
generate`. Both read weights, batches and prompts from a folder that all contenders share.
"""

import dataclasses
import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import spec
from panorax.core.config import Run
from panorax.core.optim import AdamW, optimizer
from panorax.core.state import first_state
from panorax.core.step import scan_steps
from panorax.engine.loop import Clock
from panorax.interop import hf_config, hf_weights
from panorax.lm import language_model
from panorax.nets.decoders import decoder, llama
from panorax.nets.decoders.generate import decode
from panorax.ops.sampling import Sampling
from panorax.parallel.sharding import make_mesh, parameter_shardings

ADAMW = AdamW(
    peak_lr=1e-3, schedule="constant", b1=0.9, b2=0.95, eps=1e-8, weight_decay=0.0, clip=1.0
)


def config(size: dict) -> language_model.Config:
    """The config of a size, with unrolled blocks as in lm/llama."""
    fields = {field.name for field in dataclasses.fields(llama.Model)} - {"positions"}
    model = {name: value for name, value in size.items() if name in fields}
    return language_model.Config(
        llama.Model(**model, unroll=size["n_layers"]),
        optim=ADAMW,
        run=Run(steps=100),
        stride=size["context"],
        batch=size["batch"],
        context=size["context"],
    )


def write(folder: Path, size: dict) -> None:
    """Writes the random first weights of all contenders as the Hugging Face folder `model`."""
    model = config(size).model
    (folder / "model").mkdir(parents=True)
    hf_weights.save(folder / "model", spec.init(decoder.spec(model), jax.random.key(0)), model)
    (folder / "model" / "config.json").write_text(
        json.dumps(hf_config.write(model, size["positions"]))
    )


def _params(folder: Path, cfg: language_model.Config):
    return hf_weights.load(
        folder / "model",
        cfg.model,
        parameter_shardings(decoder.spec(cfg.model), make_mesh("")),
        jnp.float32,
    )


def step_by_step(size: dict, folder: Path):
    """Training with one compiled step per call."""
    return _training(size, folder, 1)


def chunks(size: dict, folder: Path):
    """Training in compiled chunks of 20 steps, as the training loop does."""
    return _training(size, folder, 20)


def _training(size: dict, folder: Path, chunk: int):
    cfg, key, clock = config(size), jax.random.key(0), Clock()
    system, batches = language_model.system(cfg), np.load(folder / "batches.npy")
    params = _params(folder, cfg)
    state = first_state(params, optimizer(cfg.optim, cfg.run.steps, system.spec))
    run = lambda state, batches: scan_steps(system.train_step, state, batches, key, len(batches))
    started = time.perf_counter()
    program = clock.compile(run, state, batches[:chunk], donate_argnums=0)
    compile_seconds = clock.compiling
    single = program if chunk == 1 else jax.jit(run)
    losses, first = [], state if chunk > 1 else jax.tree.map(jnp.copy, state)
    for i in range(5):
        first, metrics = single(first, batches[i : i + 1])
        losses.append(float(metrics["loss"]))
    facts = {
        "losses": losses,
        "compile_seconds": compile_seconds,
        "first_seconds": time.perf_counter() - started,
        "version": jax.__version__,
    }
    facts["temporaries_mb"] = program.memory_analysis().temp_size_in_bytes / (1 << 20)

    def work():
        nonlocal state
        for i in range(0, len(batches), chunk):
            state, metrics = program(state, batches[i : i + chunk])
        jax.block_until_ready(state)
        return batches[:, :, 1:].size

    return facts, work


def generation(size: dict, folder: Path):
    """Greedy decoding in pieces of 16 tokens, each read back when it is ready."""
    cfg, prompts = config(size), np.load(folder / "prompts.npy").tolist()
    params = _params(folder, cfg)

    def generate():
        pieces = decode(
            params,
            prompts,
            jax.random.key(0),
            new=size["new"],
            ends=(size["vocab"],),  # an id outside the vocabulary
            cfg=cfg.model,
            sampling=Sampling(temperature=0.0),
        )
        return np.concatenate(list(pieces), 1)

    started = time.perf_counter()
    tokens = generate().tolist()
    first_seconds = time.perf_counter() - started
    facts = {
        "tokens": tokens,
        "compile_seconds": first_seconds,
        "first_seconds": first_seconds,
        "version": jax.__version__,
    }
    return facts, lambda: generate().size
