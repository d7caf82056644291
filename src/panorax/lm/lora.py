"""LoRA: low-rank adaptation of a language model to another text.

Each adapted matrix w (I, O) is frozen, and training updates two factors a (I, r) and b (r, O):

    y = x w + (alpha / r) (x a) b,        initially a ~ N(0, 1 / I), b = 0.

A matrix has r (I + O) trained parameters instead of I O. Only the factors have gradients and
optimiser state. `State.params` holds the factors, `State.extra` the frozen base.
The adapters are part of the network. Loss, step and evaluation come from
`panorax.lm.language_model`.

The run reads the base from a Hugging Face folder or trains it before the first LoRA step.
The report compares LoRA with full fine-tuning of the same base on the same batches.
Simplified: the factors have no dropout on their input.
Source: Hu et al. 2021, arXiv:2106.09685.
"""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from panorax.core import spec as core_spec
from panorax.core.config import Run
from panorax.core.errors import UserError
from panorax.core.net import Net, stateful
from panorax.core.optim import AdamW, Optimizer, optimizer
from panorax.core.ranges import Count, Positive, checked
from panorax.core.spec import P
from panorax.core.state import Result, State, System
from panorax.core.study import family
from panorax.data import tokenizer
from panorax.data.text import Text, dataset
from panorax.lm import language_model
from panorax.lm.evaluation import bits_per_byte
from panorax.lm.report import report as baselines_and_samples
from panorax.lm.training import mesh_of, trained
from panorax.nets.decoders import decoder
from panorax.ops.low_rank import LowRank, low_rank_factors, merged_tree

loss_fn = language_model.loss_fn
train_step = language_model.train_step
evaluate = language_model.evaluate


@checked
class Adapter:
    """Low-rank factors of the adapted matrices."""

    rank: Count = 8
    """rank of the update [r]"""
    alpha: Positive = 16.0
    """numerator of the update's scale alpha / r [alpha]"""
    targets: tuple[str, ...] = ("q", "v")
    """adapted matrices of each layer; Llama has q, k, v, o, gate, up and down"""


@checked
class Base:
    """Training of the base before it is frozen; with init-from only `data` is used."""

    data: Text = Text(part="sources")
    """text of the base; its tokenizer also encodes the new text"""
    optim: AdamW = AdamW()
    """optimiser of the base"""
    run: Run = Run()
    """number of steps and seed of the base's training"""


@checked
class Config(language_model.Config):
    """A language model with a frozen base and trained factors; init-from is the base's folder."""

    data: Text = Text(part="reference")
    """text that the base is adapted to, encoded by the base's tokenizer"""
    base: Base = Base()
    """training of the base"""
    adapter: Adapter = Adapter()
    """rank, scale and targets of the factors"""
    compare: bool = True
    """full fine-tuning in the report, for as many steps as LoRA; needs memory for the optimiser
    state of all parameters"""
    full: Optimizer = AdamW()
    """optimiser of the full fine-tuning"""


def started_from(cfg: Config, directory: Path, ignore: Sequence[str] = ()) -> Config:
    """`cfg` with a Hugging Face folder as the base, without the comparison."""
    return dataclasses.replace(language_model.started_from(cfg, directory, ignore), compare=False)


def implied(cfg: Config) -> dict[str, int]:
    """The vocabulary of the model, where the tokenizer of the base determines it."""
    return language_model.implied(dataclasses.replace(cfg, data=cfg.base.data))


def decoder_of(state: State, cfg: Config):
    """Merged parameters, model and sampling, for `panorax generate` and `panorax export`."""
    merged = merged_tree(with_factors(state.extra, state.params, cfg.adapter))
    return merged, cfg.model, cfg.sampling


def with_factors(base, factors, cfg: Adapter):
    """Parameters of the decoder with a `LowRank` leaf for each adapted matrix."""
    scale, layers = cfg.alpha / cfg.rank, base["layers"]
    weights = {name: LowRank(layers[name], x["a"], x["b"], scale) for name, x in factors.items()}
    return base | {"layers": layers | weights}


def adapted_net(net: Net, cfg: Adapter) -> Net:
    """The decoder `net` with adapters: its parameters are the factors, its state is the base.

    Raises UserError if a target is not a matrix of the decoder's layers.
    """
    layers = net.spec["layers"]
    matrices = {name for name, p in layers.items() if len(p.shape) > 2}
    if not cfg.targets or set(cfg.targets) - matrices:
        accepted, given = " ".join(sorted(matrices)), " ".join(cfg.targets) or "nothing"
        raise UserError(f"adapter.targets must be some of {accepted}; got {given}")

    def apply(params, extra, tokens_BT, key, train):
        whole = with_factors(extra, params, cfg)
        return net.apply(whole, (), tokens_BT, key=key, train=train)[0], extra

    factors = {name: low_rank_factors(layers[name], cfg.rank) for name in cfg.targets}
    return stateful(factors, net.spec, apply)


def fine_tuned(tuned: System, net: Net, state: State, cfg: Config):
    """Parameters of the base after full fine-tuning on the batches of the LoRA run `tuned`."""
    full = language_model.system(dataclasses.replace(cfg, optim=cfg.full), net)
    full = dataclasses.replace(full, batches=tuned.batches)
    return trained(full, cfg.run, mesh_of(state.step), params=state.extra)


def comparison(base: System, tuned: System, net: Net, state: State, merged, cfg: Config) -> dict:
    """Bits per byte of held-out text under the base, after LoRA and after full fine-tuning.

    `target_bits_*` are measured on the new text, `source_bits_*` on the base's text.
    `recovered_share` is LoRA's gain on the new text divided by the gain of full fine-tuning.
    """
    bits = bits_per_byte(net)
    models = {"base": state.extra, "lora": merged}
    if cfg.compare:
        models["full"] = fine_tuned(tuned, net, state, cfg)
    target = {name: bits(params, tuned.held_out()) for name, params in models.items()}
    source = {name: bits(params, base.held_out()) for name, params in models.items()}
    metrics = family("target_bits_{}", target) | family("source_bits_{}", source)
    if cfg.compare:
        gain, full_gain = target["base"] - target["lora"], target["base"] - target["full"]
        metrics["recovered_share"] = gain / full_gain
    return metrics


def gaps(state: State, merged, net: Net, lora: Net, tokens_BT) -> dict[str, float]:
    """Largest differences of the logits of two networks, relative to the largest logit.

    `start_gap` compares LoRA at b = 0 with the base, `merged_gap` LoRA with merged parameters.
    """
    compiled_lora = jax.jit(lambda factors, base: lora.apply(factors, base, tokens_BT)[0].logits())
    compiled_net = jax.jit(lambda params: net.apply(params, (), tokens_BT)[0].logits())
    # one program on all devices at a time
    with_lora = lambda factors, base: jax.device_get(compiled_lora(factors, base))
    without = lambda params: jax.device_get(compiled_net(params))

    def gap(a_BTV, b_BTV):
        return float(np.max(np.abs(a_BTV - b_BTV)) / np.max(np.abs(b_BTV)))

    fresh = {name: x | {"b": jnp.zeros_like(x["b"])} for name, x in state.params.items()}
    return {
        "start_gap": gap(with_lora(fresh, state.extra), without(state.extra)),
        "merged_gap": gap(with_lora(state.params, state.extra), without(merged)),
    }


def sizes(net: Net, lora: Net) -> dict[str, float]:
    """Number of trained parameters, their share of the base's parameters, and `matrix_reduction`.

    `matrix_reduction` is I O / (r (I + O)) at I = O = 4096 and r = 8.
    """
    matrix = P((4096, 4096), ("inputs", "outputs"), jax.nn.initializers.zeros)
    factors, frozen = core_spec.count(lora.spec), core_spec.count(net.spec)
    return {
        "trained_parameters": factors,
        "trained_share": factors / frozen,
        "matrix_reduction": core_spec.count(matrix) / core_spec.count(low_rank_factors(matrix, 8)),
    }


def system(
    cfg: Config, net: Net | None = None, tx: optax.GradientTransformation | None = None
) -> System:
    """LoRA as a System; `net` and `tx` replace the decoder and the optimiser of `cfg`."""
    net = net or decoder.net(cfg.model)
    lora = adapted_net(net, cfg.adapter)
    tx = tx or optimizer(cfg.optim, cfg.run.steps, lora.spec)
    parts = {"data": cfg.base.data, "optim": cfg.base.optim, "run": cfg.base.run}
    base = language_model.system(dataclasses.replace(cfg, **parts), net)

    @functools.cache
    def text():
        tokens = tokenizer.from_json(base.files()["tokenizer.json"])
        return dataset(cfg.data, cfg.model.vocab, tokens)

    def pretrained(shardings: State):
        if cfg.init_from:
            return {"extra": base.pretrained(shardings.replace(params=shardings.extra))["params"]}
        return {"extra": trained(base, cfg.base.run, shardings.step.mesh)}

    def files():
        of_base = base.files()
        kept = {"base_data.json" if name == "data.json" else name: x for name, x in of_base.items()}
        return kept | text().files()

    def report(state: State, key: jax.Array) -> Result:
        merged, *_ = decoder_of(state, cfg)
        samples = baselines_and_samples(merged, text(), key, cfg)
        metrics = samples.metrics | sizes(net, lora)
        metrics |= gaps(state, merged, net, lora, jnp.asarray(tuned.batches(0)[:, :-1]))
        metrics |= comparison(base, tuned, net, state, merged, cfg)
        return Result(metrics, samples.figures)

    tuned = dataclasses.replace(
        language_model.on_text(language_model.system(cfg, lora, tx), text, cfg),
        files=files,
        report=report,
        extra_axes=core_spec.axes(net.spec),
        pretrained=pretrained,
    )
    return tuned
