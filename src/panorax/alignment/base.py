"""The fine-tuned model from which the optimisation of preferences or rewards starts."""

from panorax.alignment import instructions, sft
from panorax.core.config import Run
from panorax.core.optim import AdamW, Optimizer
from panorax.core.ranges import Count, checked
from panorax.core.state import State, System
from panorax.lm.training import trained


@checked
class Base:
    """Supervised fine-tuning before the first pair; with init-from none of it is used."""

    data: instructions.Data = instructions.Data(spoiled=0.3)
    """conversations of the fine-tuning"""
    optim: Optimizer = AdamW()
    """optimiser of the fine-tuning"""
    run: Run = Run()
    """number of steps and seed of the fine-tuning"""
    batch: Count = 16
    """rows of packed conversations per step"""
    context: Count = 128
    """tokens predicted in each of these rows"""


def base_of(cfg) -> sft.Config:
    """The fine-tuning that makes the model which training starts from."""
    names = ("data", "optim", "run", "batch", "context")
    parts = {name: getattr(cfg.base, name) for name in names}
    return sft.Config(model=cfg.model, init_from=cfg.init_from, ignore_key=cfg.ignore_key, **parts)


def parameters(base: System, cfg, shardings: State):
    """Parameters of the folder `cfg.init_from`, or of `base`, the fine-tuning, after its steps."""
    if cfg.init_from:
        return base.pretrained(shardings)["params"]
    return trained(base, cfg.base.run, shardings.step.mesh)
