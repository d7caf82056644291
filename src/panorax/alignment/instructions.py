"""Instructions and their answers as rows of tokens, for training and evaluating a chat model."""

import dataclasses
import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core.errors import UserError
from panorax.core.ranges import Count, Share, checked
from panorax.core.state import State
from panorax.data import chat, conversations, packing, tasks, tokenizer
from panorax.data.conversations import Messages, Source, Split
from panorax.interop import hf_text, hf_weights, huggingface
from panorax.nets.decoders import decoder
from panorax.parallel.sharding import parameter_shardings


@checked
class Data(Source):
    """Conversations of a file, or generated tasks."""

    generated: Count = 40_000
    """number of generated training tasks, without a path"""
    spoiled: Share = 0.0
    """share of the generated training answers that are wrong or badly formatted"""
    tested: Count = 600
    """largest number of held-out conversations that the report answers"""


@dataclass(frozen=True)
class Instructions:
    """Conversations as packed rows.

    train, held_out: rows of `panorax.data.packing.pack`.
    split: the conversations.  tokenizer: the tokenizer, with a chat template.
    """

    train: dict[str, np.ndarray]
    held_out: dict[str, np.ndarray]
    split: Split
    tokenizer: Any

    def files(self) -> dict[str, str]:
        """Files that a run stores: the tokenizer, and a digest that identifies the rows."""
        digest = hashlib.sha256()
        for rows in (self.train, self.held_out):
            for x in rows.values():
                digest.update(x.tobytes())
        facts = {"train_rows": len(self.train["tokens"]), "sha256": digest.hexdigest()}
        return {
            "tokenizer.json": self.tokenizer.to_json(),
            "data.json": json.dumps(facts, indent=2) + "\n",
        }

    def summary(self) -> str:
        """One line: conversations, rows, and conversations whose answers are too long for a row."""
        rows, share = len(self.train["tokens"]), packing.filled(self.train)
        left_out = len(self.split.train) - packing.texts(self.train)
        dropped = f"; {left_out:,} without an answer in a row are left out" if left_out else ""
        return (
            f"data: {conversations.summary(self.split, 'conversation')}; {rows:,} packed rows, "
            f"{share:.0%} filled{dropped}"
        )


def turns(prompt: str, answer: str) -> Messages:
    """A message of the user and its answer."""
    return (
        {"role": "user", "content": prompt},
        {"role": "assistant", "content": answer},
    )


def generated(cfg: Data, seed: int) -> Split:
    """Conversations of generated tasks, without a task in both parts."""
    rng = np.random.default_rng((seed, 2))

    def demonstrated(task: tasks.Task) -> Messages:
        is_spoiled = rng.random() < cfg.spoiled
        return turns(task.prompt, tasks.spoiled(task, rng) if is_spoiled else task.answer)

    train = tuple(demonstrated(task) for task in tasks.instances(cfg.generated, seed))
    tested = tasks.instances(cfg.tested, seed, held_out=True)
    return Split(train, tuple(turns(t.prompt, t.answer) for t in tested), "generated tasks")


def conversations_of(cfg: Data, seed: int) -> Split:
    """The conversations of a file, or those of generated tasks."""
    if cfg.path is None:
        return generated(cfg, seed)
    return conversations.read(cfg, conversations.conversation)


def load(split: Split, vocab: int, context: int, init_from: str | None) -> Instructions:
    """Encodes and packs conversations.

    The tokenizer is the one of the folder `init_from`, or byte-pair encoding of the training
    messages. Raises UserError if it needs more than `vocab` tokens, if its chat template refuses a
    conversation, or if no answer lies within `context` tokens.
    """
    if init_from:
        tokens = chat_tokenizer(init_from)
    else:
        texts = [str(m.get("content") or "") for messages in split.train for m in messages]
        pairs = tokenizer.BytePairs.train(texts, vocab - len(chat.TOKENS))
        tokens = tokenizer.with_chat(pairs)
    if tokens.vocab_size > vocab:
        raise UserError(
            f"the tokenizer needs a vocabulary of {tokens.vocab_size}: set --model.vocab to at "
            "least this size"
        )
    encoded = lambda part: [packing.Example(*tokens.conversation(m)) for m in part]
    rows = [packing.pack(encoded(part), context) for part in (split.train, split.held_out)]
    for part, name in zip(rows, ("training", "held-out")):
        if not len(part["tokens"]):
            raise UserError(
                f"no {name} conversation has an answer within {context} tokens: raise --context"
            )
    return Instructions(*rows, split, tokens)


def chat_tokenizer(directory: str | Path):
    """The tokenizer of a Hugging Face folder, with its chat template or the default one."""
    return tokenizer.with_chat(hf_text.tokenizer(directory))


def with_chat_tokens(model, directory: str | Path):
    """The model of a folder with a vocabulary that holds the tokens of the chat template."""
    return dataclasses.replace(model, vocab=max(model.vocab, chat_tokenizer(directory).vocab_size))


def pretrained(cfg, shardings: State) -> dict[str, Any]:
    """Parameters of the folder `cfg.init_from`, with embeddings of the tokens that it lacks.

    A new row of the embedding, and a new column of the output projection, is the mean of the old
    ones, so that new tokens start with an average logit (Hewitt 2021).
    Raises UserError if `cfg.model` contradicts the folder.
    """
    folder = Path(cfg.init_from)
    old = dataclasses.replace(cfg.model, vocab=huggingface.model(folder, cfg.ignore_key).vocab)
    huggingface.refuse_another_model(old, folder, cfg.ignore_key)
    mesh = shardings.step.mesh
    params = hf_weights.load(folder, old, parameter_shardings(decoder.spec(old), mesh), jnp.float32)
    grow = functools.partial(_grown, new=cfg.model.vocab - old.vocab)
    with jax.set_mesh(mesh):
        return {"params": jax.jit(grow, out_shardings=shardings.params)(params)}


def _grown(params, new: int):
    """`params` with `new` tokens more."""
    rows = lambda w, axis: jnp.repeat(jnp.mean(w, axis, keepdims=True), new, axis)
    larger = lambda name, axis: jnp.concatenate([params[name], rows(params[name], axis)], axis)
    head = {"head": larger("head", 1)} if "head" in params else {}
    return params | {"embed": larger("embed", 0)} | head
