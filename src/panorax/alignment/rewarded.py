"""Answers that a model samples to prompts, their rewards and their log-probabilities."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from panorax.core.layout import split_batch
from panorax.core.net import Net
from panorax.nets.decoders.rollouts import continuations
from panorax.ops.losses import cross_entropy


class Answers(NamedTuple):
    """Answers to N prompts, G to each; a row holds a prompt and an answer."""

    rows: jax.Array
    """tokens (N G, T + new)"""
    place: jax.Array
    """index of each token of an answer in its row, (N G, new)"""
    weight: jax.Array
    """1 for tokens up to the end of an answer, 0 after it, (N G, new)"""
    reward: jax.Array
    """1 for right answers, 0 for others, (N, G)"""


def sampled(params, batch, key, cfg) -> Answers:
    """Answers to each prompt at temperature 1; the last token of the right answer ends them.

    batch: rows of `panorax.alignment.prompts`.  cfg: a config with the `model`, the size `group` of
    a group, and `new`, the largest number of tokens of an answer.
    """
    prompt_BT, length_B, answer_BA = (
        split_batch(jnp.repeat(batch[name], cfg.group, 0))
        for name in ("tokens", "length", "answer")
    )
    options = {"new": cfg.new, "cfg": cfg.model}
    written_BA = continuations(params, prompt_BT, jnp.maximum(length_B, 1), key, **options)
    last_B1 = jnp.sum(answer_BA >= 0, 1, keepdims=True) - 1
    is_end = written_BA == jnp.take_along_axis(answer_BA, last_B1, 1)
    weight_BA = (jnp.cumsum(is_end, 1) - is_end == 0).astype(jnp.float32)
    is_right = jnp.all((written_BA == answer_BA) | (answer_BA < 0), 1)
    place_BA = length_B[:, None] + jnp.arange(cfg.new)[None]
    rows = jnp.pad(prompt_BT, ((0, 0), (0, cfg.new)))
    rows = rows.at[jnp.arange(len(rows))[:, None], place_BA].set(written_BA)
    reward = is_right.astype(jnp.float32).reshape(-1, cfg.group)
    return Answers(rows, place_BA, weight_BA, reward)


def log_probs(params, rows, place_BA, net: Net):
    """log pi (N G, new) of each token of the answers, given the tokens before it."""
    logits, _ = net.apply(params, (), rows)
    row = jnp.arange(len(rows))[:, None]
    before = logits.replace(x=logits.x[row, place_BA - 1])
    return -cross_entropy(before.logits(), rows[row, place_BA])
