"""Language model: a decoder-only Transformer trained to predict the next token.

The decoder gives p(w_t | w_1 .. w_{t-1}) for a text of tokens w_1 .. w_n, and training minimises

    L = - mean_t log p(w_t | w_{<t})        in nats per token.

Evaluation also reports bits per byte of held-out documents, which do not depend on the tokenizer.
Training windows cross document boundaries, and attention across them is not masked.
The config chooses the decoder: `panorax.nets.decoders.llama`, `.qwen` or `.gemma`.
Source: Bengio et al. 2003; Radford et al. 2018.
"""

import dataclasses
import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from panorax.core.config import Run
from panorax.core.net import Net
from panorax.core.optim import AdamW, Optimizer, optimizer
from panorax.core.ranges import Count, checked
from panorax.core.state import State, System, first_state
from panorax.core.step import update
from panorax.data.batches import windows
from panorax.data.text import Text, Tokens, dataset, vocabulary
from panorax.interop import hf_text, hf_weights, huggingface
from panorax.lm.report import report
from panorax.nets.decoders import decoder, gemma, llama, qwen
from panorax.ops.sampling import Sampling
from panorax.ops.unembedding import cross_entropy_sum

UNITS = {"loss": "nats per token"}
"""units of the metrics, for the axes of curves"""


Decoder = llama.Model | qwen.Model | gemma.Model
"""families of decoders, of which a config chooses one"""


@checked
class Config:
    """A decoder and its training."""

    model: Decoder = llama.Model()
    """decoder and its sizes"""
    data: Text = Text()
    """training and held-out text, and its tokenizer"""
    optim: Optimizer = AdamW()
    """optimiser of all parameters"""
    run: Run = Run()
    """number of steps, seed, and intervals of evaluation and checkpoints"""
    batch: Count = 16
    """sequences per step [B]"""
    context: Count = 128
    """tokens predicted in each sequence [T]"""
    stride: Count = 64
    """tokens between the starts of held-out windows; windows overlap if it is below the context"""
    accumulate: Count = 1
    """micro-batches per batch, processed one after another to save memory"""
    init_from: str | None = None
    """Hugging Face folder with the initial weights and the tokenizer; None for random weights"""
    ignore_key: tuple[str, ...] = ()
    """unknown keys of that folder's config.json that do not affect what the model computes"""
    sampling: Sampling = Sampling(temperature=0.7, top_p=0.95)
    """sampling of the texts in the final report"""

    def __post_init__(self):
        if not 1 <= self.stride <= self.context or self.batch % self.accumulate:
            raise ValueError(
                f"stride must be between 1 and context {self.context}, "
                f"and accumulate must divide batch {self.batch}"
            )


def started_from(cfg: Config, directory: Path, ignore: Sequence[str] = ()) -> Config:
    """`cfg` with the model, initial weights, tokenizer and sampling of a Hugging Face folder.

    ignore: unknown keys of its config.json that do not affect the computation.
    """
    return dataclasses.replace(
        cfg,
        model=huggingface.model(directory, ignore),
        init_from=str(directory),
        ignore_key=tuple(ignore),
        sampling=hf_text.sampling(directory),
    )


def implied(cfg: Config) -> dict[str, int]:
    """The vocabulary of the model, where the tokenizer determines it."""
    size = None if cfg.init_from else vocabulary(cfg.data)
    return {} if size is None else {"model.vocab": size}


def decoder_of(state: State, cfg: Config):
    """Parameters, model and sampling of a run, for `panorax generate` and `panorax export`."""
    return state.params, cfg.model, cfg.sampling


def loss_fn(params, extra, batch: Int[Array, "B T1"], key, net: Net):
    """Mean cross entropy, in nats, of tokens 1 .. T of each row given the tokens before them.

    A decoder of `panorax.nets.decoders` returns its logits as an Unembedding, whose loss and
    gradients need less memory than the logits of a large vocabulary.
    """
    logits_BTV, extra = net.apply(params, extra, batch[:, :-1], key=key, train=True)
    label_BT = batch[:, 1:]
    return cross_entropy_sum(logits_BTV, label_BT) / label_BT.size, (extra, {})


def train_step(
    state: State,
    batch: Int[Array, "B T1"],
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
    """Nats per token and bits per byte of the held-out documents.

    Every token is weighted once. The end of a document counts as one byte.
    """
    rows_BT1, weight_BT = batch["rows"], batch["weights"]
    logits_BTV, _ = net.apply(state.params, state.extra, rows_BT1[:, :-1])
    nats = cross_entropy_sum(logits_BTV, rows_BT1[:, 1:], weight_BT)
    return {
        "eval_loss": (nats, jnp.sum(weight_BT)),
        "eval_bits_per_byte": (nats / jnp.log(2.0), jnp.sum(batch["bytes"])),
    }


def text_of(cfg: Config) -> Tokens:
    """The text of a config, by the tokenizer of its folder or by one that is trained on it."""
    pretrained = cfg.init_from and hf_text.tokenizer(Path(cfg.init_from))
    return dataset(cfg.data, cfg.model.vocab, pretrained)


def on_text(system: System, text: Callable[[], Tokens], cfg: Config) -> System:
    """`system`, which reads windows of `text()`."""
    return dataclasses.replace(
        system,
        batches=lambda step: windows(text().train, cfg.batch, cfg.context + 1, cfg.run.seed, step),
        held_out=lambda: text().held_out_batches(cfg.batch, cfg.context, cfg.stride),
        summary=lambda: text().summary(),
    )


def system(
    cfg: Config, net: Net | None = None, tx: optax.GradientTransformation | None = None
) -> System:
    """A language model as a System; `net` and `tx` replace the network and the optimiser of `cfg`.

    `pretrained` of the System raises UserError if `cfg.model` contradicts the folder `init_from`.
    """
    net = net or decoder.net(cfg.model)
    tx = tx or optimizer(cfg.optim, cfg.run.steps, net.spec)

    text = functools.cache(lambda: text_of(cfg))

    def kept_files():
        if not cfg.init_from:
            return text().files()
        metadata = json.dumps(huggingface.metadata(cfg.init_from), indent=2) + "\n"
        return text().files() | {huggingface.METADATA: metadata}

    def init_state(key):
        params, extra = net.init(key)
        return first_state(params, tx, extra)

    def pretrained(shardings: State):
        huggingface.refuse_another_model(cfg.model, Path(cfg.init_from), cfg.ignore_key)
        return {
            "params": hf_weights.load(Path(cfg.init_from), cfg.model, shardings.params, jnp.float32)
        }

    plain = System(
        spec=net.spec,
        init_state=init_state,
        train_step=functools.partial(train_step, net=net, tx=tx, accumulate=cfg.accumulate),
        evaluate=functools.partial(evaluate, net=net),
        batch=jax.ShapeDtypeStruct((cfg.batch, cfg.context + 1), jnp.int32),
        report=lambda state, key: report(state.params, text(), key, cfg),
        files=kept_files,
        pretrained=pretrained if cfg.init_from else None,
        micro_batches=cfg.accumulate,
        per_step={"tokens": cfg.batch * cfg.context},
        footprint=lambda: decoder.footprint(cfg.model, cfg.context),
    )
    return on_text(plain, text, cfg)
