"""Supervised fine-tuning: a language model learns to answer instructions.

A conversation is written by the chat template as tokens w_1 .. w_n, of which the set A are those of
the assistant's answers. Training minimises the loss of the answers alone,

    L = - 1 / |A| sum_{t in A} log p(w_t | w_{<t})        in nats per token,

so that the tokens of a prompt are read and not imitated. Rows hold several conversations, and a
token attends to its own conversation only (`panorax.data.packing`): loss and gradients are those of
one conversation a row. The sum runs over all answers of a batch, whatever their lengths.

The model starts from random weights, a Hugging Face folder or a run (`--init-from`), and keeps the
chat template of the folder. `panorax chat RUN` talks to it.
Data are a file of conversations (`--data.path`), or generated tasks, whose answers are checked.
Source: Ouyang et al. 2022, arXiv:2203.02155, section 3.5; Wei et al. 2021, arXiv:2109.01652.
"""

import dataclasses
import functools
import json
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from panorax.alignment import answers, instructions
from panorax.core.config import Run
from panorax.core.net import Net
from panorax.core.optim import AdamW, Optimizer, optimizer
from panorax.core.ranges import Count, checked
from panorax.core.state import Result, State, System, first_state
from panorax.core.step import update
from panorax.data import packing
from panorax.data.batches import epochs, padded
from panorax.interop import huggingface
from panorax.lm import language_model
from panorax.nets.decoders import decoder, llama, packed
from panorax.ops.sampling import Sampling
from panorax.ops.unembedding import cross_entropy_sum

UNITS = {"loss": "nats per token of an answer"}
"""units of the metrics, for the axes of curves"""


@checked
class Config:
    """A decoder and its fine-tuning."""

    model: language_model.Decoder = llama.Model()
    """decoder and its sizes"""
    data: instructions.Data = instructions.Data()
    """conversations, and how they are split"""
    optim: Optimizer = AdamW()
    """optimiser of all parameters"""
    run: Run = Run()
    """number of steps, seed, and intervals of evaluation and checkpoints"""
    batch: Count = 16
    """rows of packed conversations per step [B]"""
    context: Count = 256
    """tokens predicted in each row [T]"""
    accumulate: Count = 1
    """micro-batches per batch, processed one after another to save memory"""
    init_from: str | None = None
    """Hugging Face folder with the initial weights and the tokenizer; None for random weights"""
    ignore_key: tuple[str, ...] = ()
    """unknown keys of that folder's config.json that do not affect what the model computes"""
    sampling: Sampling = Sampling(temperature=0.7, top_p=0.95)
    """sampling of `panorax chat` and `panorax generate`; the report answers greedily"""

    def __post_init__(self):
        if self.batch % self.accumulate:
            raise ValueError(f"accumulate must divide batch {self.batch}")


def started_from(cfg: Config, directory: Path, ignore: Sequence[str] = ()) -> Config:
    """`cfg` with the model, weights, tokenizer and sampling of a Hugging Face folder.

    Its vocabulary grows by the tokens of the default chat template if the folder has no template.
    """
    cfg = language_model.started_from(cfg, directory, ignore)
    return dataclasses.replace(cfg, model=instructions.with_chat_tokens(cfg.model, directory))


def decoder_of(state: State, cfg: Config):
    """Parameters, model and sampling of a run, for `panorax generate`, `export` and `chat`."""
    return state.params, cfg.model, cfg.sampling


def inputs(rows):
    """Tokens, segments and positions (B, T) that the network reads, and the labels (B, T)."""
    read = [rows[name][:, :-1] for name in ("tokens", "segments", "positions")]
    return read, rows["tokens"][:, 1:]


def loss_fn(params, extra, batch, key, net: Net):
    """Mean cross entropy, in nats, of the trained tokens of a batch of `packing.balanced`."""
    read, label_BT = inputs(batch)
    logits_BTV, extra = net.apply(params, extra, *read, key=key, train=True)
    nats = cross_entropy_sum(logits_BTV, label_BT, batch["weights"])
    return nats / len(label_BT), (extra, {})


def train_step(
    state: State,
    batch,
    key,
    net: Net,
    tx: optax.GradientTransformation,
    accumulate: int = 1,
):
    """One update."""
    loss = functools.partial(loss_fn, net=net)
    params, opt, extra, metrics = update(
        loss, tx, state.params, state.opt, state.extra, batch, key, accumulate
    )
    return State(params, opt, extra, state.step + 1), metrics


def evaluate(state: State, batch, key, net: Net):
    """Nats per token of the answers of held-out conversations."""
    read, label_BT = inputs(batch)
    logits_BTV, _ = net.apply(state.params, state.extra, *read)
    nats = cross_entropy_sum(logits_BTV, label_BT, batch["weights"])
    return {"eval_loss": (nats, jnp.sum(batch["weights"]))}


def packing_gap(params, rows: dict[str, np.ndarray], net: Net) -> float:
    """Largest difference between the gradients of packed rows and of one conversation a row.

    It is relative to the largest element of the gradient.
    """

    @jax.jit
    def gradient(batch):
        return jax.grad(lambda params: loss_fn(params, (), batch, None, net)[0])(params)

    packed_rows, alone = (packing.balanced(x) for x in (rows, packing.unpack(rows)))
    ours, theirs = (jax.device_get(gradient(x)) for x in (packed_rows, alone))
    gap = jax.tree.map(lambda a, b: np.max(np.abs(a - b)), ours, theirs)
    size = jax.tree.map(lambda x: np.max(np.abs(x)), theirs)
    return float(max(jax.tree.leaves(gap)) / max(jax.tree.leaves(size)))


def masked_gradient(params, rows: dict[str, np.ndarray], net: Net) -> float:
    """Largest gradient of the loss in a hidden state whose next token is not trained."""

    @jax.jit
    def gradient(batch):
        read, label_BT = inputs(batch)
        logits_BTV, _ = net.apply(params, (), *read)
        of_x = lambda x: cross_entropy_sum(logits_BTV.replace(x=x), label_BT, batch["weights"])
        return jax.grad(of_x)(logits_BTV.x)

    x_BTD = jax.device_get(gradient(packing.balanced(rows)))
    return float(np.max(np.abs(x_BTD[rows["weights"] == 0])))


def report(
    state: State, key: jax.Array, data: instructions.Instructions, net: Net, cfg: Config
) -> Result:
    """Right answers to held-out conversations, by task, and the two checks of packing and mask."""
    tested = data.split.held_out[: cfg.data.tested]
    given = answers.answered(state.params, tested, data.tokenizer, key, cfg.model)
    few = {name: x[: cfg.batch] for name, x in data.held_out.items()}
    metrics = answers.scores(given) | {
        "packing_gap": packing_gap(state.params, few, net),
        "masked_gradient": masked_gradient(state.params, few, net),
        "filled_share": packing.filled(data.train),
    }
    return Result(metrics, {"samples.txt": answers.shown(given)})


def system(
    cfg: Config, net: Net | None = None, tx: optax.GradientTransformation | None = None
) -> System:
    """Supervised fine-tuning as a System; `net` and `tx` replace the network and the optimiser.

    `net` reads rows as `panorax.nets.decoders.packed` does.
    """
    net = net or packed.net(cfg.model)
    tx = tx or optimizer(cfg.optim, cfg.run.steps, net.spec)

    @functools.cache
    def data() -> instructions.Instructions:
        split = instructions.conversations_of(cfg.data, cfg.run.seed)
        return instructions.load(split, cfg.model.vocab, cfg.context, cfg.init_from)

    def init_state(key):
        params, extra = net.init(key)
        return first_state(params, tx, extra)

    def batches(step):
        rows = data().train
        chosen = epochs(len(rows["tokens"]), cfg.batch, cfg.run.seed, step)
        return packing.balanced({name: x[chosen] for name, x in rows.items()})

    def files():
        if not cfg.init_from:
            return data().files()
        metadata = json.dumps(huggingface.metadata(cfg.init_from), indent=2) + "\n"
        return data().files() | {huggingface.METADATA: metadata}

    return System(
        spec=net.spec,
        init_state=init_state,
        train_step=functools.partial(train_step, net=net, tx=tx, accumulate=cfg.accumulate),
        evaluate=functools.partial(evaluate, net=net),
        batch=packing.shapes(cfg.batch, cfg.context),
        batches=batches,
        held_out=lambda: padded(data().held_out, cfg.batch),
        report=lambda state, key: report(state, key, data(), net, cfg),
        summary=lambda: data().summary(),
        files=files,
        pretrained=functools.partial(instructions.pretrained, cfg) if cfg.init_from else None,
        micro_batches=cfg.accumulate,
        per_step={"tokens": cfg.batch * cfg.context},
        footprint=lambda: decoder.footprint(cfg.model, cfg.context),
    )
