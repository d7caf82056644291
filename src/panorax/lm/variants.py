"""Language models trained on the same text from the same seeds, to compare their decoders.

The batches of a seed are the same for every decoder, so every decoder reads the same tokens.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import spec as core_spec
from panorax.core.config import Run
from panorax.core.errors import UserError
from panorax.core.optim import AdamW
from panorax.core.ranges import Count, checked
from panorax.core.state import State
from panorax.core.step import evaluated, keys_of, scan_steps, stacked
from panorax.data.batches import windows
from panorax.data.text import Text, Tokens, dataset
from panorax.lm import language_model
from panorax.nets.decoders import decoder

APPLY = jax.jit(decoder.apply, static_argnames="cfg")
EXTEND = jax.jit(decoder.extend, static_argnames="cfg")
"""compiled once for each decoder"""


@checked
class Setting:
    """Text, budget and optimiser that all decoders of a comparison share."""

    data: Text = Text()
    """training and held-out text, and its tokenizer"""
    optim: AdamW = AdamW(peak_lr=4e-3, final_lr=4e-4, warmup=20, b2=0.98, weight_decay=0.1)
    """optimiser of all parameters"""
    run: Run = Run(steps=120, chunk=40)
    """steps of each model; its seed has no effect"""
    batch: Count = 8
    """sequences per step [B]"""
    context: Count = 128
    """tokens predicted in each sequence [T]"""
    held_out: Count = 64
    """held-out sequences"""

    def config(self, model) -> language_model.Config:
        """The language model with this decoder."""
        sizes = {"batch": self.batch, "context": self.context, "stride": self.context}
        return language_model.Config(
            model=model, data=self.data, optim=self.optim, run=self.run, **sizes
        )


@functools.lru_cache(maxsize=1)
def text(data: Text, vocab: int) -> Tokens:
    """The text as tokens of a vocabulary of at most `vocab`."""
    return dataset(data, vocab)


def size(model) -> int:
    """Number of parameters of a decoder."""
    return core_spec.count(decoder.spec(model))


def matched(model, like):
    """`model` with the hidden width whose number of parameters is nearest to that of `like`."""
    unit = size(dataclasses.replace(model, d_ff=model.d_ff + 1)) - size(model)
    more = round((size(like) - size(model)) / unit)
    return dataclasses.replace(model, d_ff=model.d_ff + more)


@functools.lru_cache(maxsize=32)
def programs(model, setting: Setting) -> tuple[Callable, Callable, Callable]:
    """The compiled init(key), steps(state, batches, key) and evaluate(state, batch, key)."""
    system = language_model.system(setting.config(model))

    def steps(state, batches, key):
        return scan_steps(system.train_step, state, batches, key, len(batches))

    return jax.jit(system.init_state), jax.jit(steps, donate_argnums=0), jax.jit(system.evaluate)


def trained_seeds(model, setting: Setting, seeds: Sequence[int]) -> Iterator[Any]:
    """Yields the parameters of each seed after training.

    Raises UserError if a loss is not finite.
    """
    tokens, run = text(setting.data, model.vocab).train, setting.run
    init, steps, _ = programs(model, setting)
    for seed in seeds:
        keys, metrics = keys_of(seed), {"loss": 0.0}
        batches = functools.partial(windows, tokens, setting.batch, setting.context + 1, seed)
        state = init(keys.init)
        for start in range(0, run.steps, run.chunk):
            n = min(run.chunk, run.steps - start)
            state, metrics = steps(state, stacked(batches, start, n), keys.train)
        if not np.isfinite(float(metrics["loss"])):
            raise UserError("a model's loss is not finite; try a lower learning rate")
        yield state.params


def held_out_loss(model, parameters: Iterable[Any], setting: Setting) -> np.ndarray:
    """Nats per token of held-out text of each of the parameters, (seeds,)."""
    tokens, (_, _, evaluate) = text(setting.data, model.vocab), programs(model, setting)
    batches = tokens.held_out_batches(setting.batch, setting.context, setting.context)
    batches = list(itertools.islice(batches, -(-setting.held_out // setting.batch)))
    states = (State(params, (), (), jnp.int32(0)) for params in parameters)
    losses = [evaluated(evaluate, state, batches, jax.random.key(0)) for state in states]
    return np.array([float(loss["eval_loss"]) for loss in losses])


def compared(
    models: dict[str, Any], setting: Setting, seeds: Sequence[int]
) -> dict[str, np.ndarray]:
    """Held-out nats per token of each decoder and seed, (seeds,) by the name of the decoder."""
    return {
        name: held_out_loss(model, trained_seeds(model, setting, seeds), setting)
        for name, model in models.items()
    }


def cached_gap(params, model, tokens_BT: jax.Array) -> float:
    """Largest difference of logits with a cache and without, relative to the largest logit.

    With a cache, the first half of the text is read at once and the second half token by token.
    """
    B, T = tokens_BT.shape
    prompt = T // 2
    whole = APPLY(params, tokens_BT, cfg=model)
    cache, pieces = decoder.empty_cache(model, B, T), []
    for start, n in [(0, prompt), *((t, 1) for t in range(prompt, T))]:
        new = tokens_BT[:, start : start + n]
        logits, cache = EXTEND(params, new, jnp.full(B, n, jnp.int32), cache, cfg=model)
        pieces.append(logits)
    difference = jnp.abs(jnp.concatenate(pieces, 1) - whole)
    return float(jnp.max(difference) / jnp.max(jnp.abs(whole)))
