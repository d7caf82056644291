"""Losses of trl on drawn log-probabilities: DPO, IPO and KTO from the losses of its trainers, the
odds ratio of ORPO and the loss of SimPO.

The trainers receive a model whose log-probabilities of tokens are the drawn numbers. Answers have
different lengths, and their tokens follow prompts of one token.
"""

import types
from unittest.mock import MagicMock

import numpy as np
import torch
from case import Arrays, named, normal, settings
from trl.experimental.cpo.cpo_trainer import CPOTrainer
from trl.experimental.orpo.orpo_trainer import ORPOTrainer
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.kto_trainer import KTOTrainer

GROUP = "torch"
PACKAGES = ("torch", "trl")
PAIRS, TOKENS = 5, 6
LENGTHS = np.array([[3, 6], [6, 2], [1, 1], [4, 5], [2, 6]])  # of chosen and rejected answers
BETA, SMOOTHING, MARGIN = 0.3, 0.1, 0.7


def drawn(rng: np.random.RandomState, lengths: np.ndarray) -> torch.Tensor:
    """Log-probabilities of tokens (n, TOKENS), 0 after the end of an answer."""
    values = -np.abs(normal(rng, len(lengths), TOKENS)) - 0.05
    present = np.arange(TOKENS) < lengths[:, None]
    return torch.tensor(values * present, dtype=torch.float64)


def model_of(*log_probs: torch.Tensor):
    """A model that returns these log-probabilities of tokens, one after another."""
    queue = [
        types.SimpleNamespace(log_probs=x, entropy=-x, mean_logits=x, is_top1=x > -1)
        for x in log_probs
    ]
    return lambda **inputs: queue.pop(0)


def trainer_of(reference, **options):
    """The attributes that the loss of a trainer reads."""
    trainer = MagicMock()
    trainer.accelerator.gather_for_metrics = trainer.accelerator.gather = lambda x: x
    trainer.accelerator.device = "cpu"
    trainer.ref_model, trainer.beta = reference, BETA
    trainer._total_train_tokens, trainer._tp_size = 0, 1
    for name in ("aux_loss_enabled", "precompute_ref_logps", "use_weighting"):
        setattr(trainer, name, False)
    trainer.ld_alpha, trainer.f_divergence_type, trainer.loss_weights = None, "reverse_kl", [1.0]
    trainer.desirable_weight = trainer.undesirable_weight = 1.0
    for name, value in options.items():
        setattr(trainer, name, value)
    return trainer


def inputs_of(lengths: np.ndarray) -> dict[str, torch.Tensor]:
    mask = (np.arange(TOKENS) < lengths[:, None]).astype(np.int64)
    mask = np.pad(mask, ((0, 0), (1, 0)))  # the prompt
    return {
        "input_ids": torch.ones(mask.shape, dtype=torch.long),
        "completion_mask": torch.tensor(mask),
        "attention_mask": torch.ones(mask.shape, dtype=torch.long),
    }


def of_pairs(kind: str, policy, reference, lengths) -> float:
    trainer = trainer_of(model_of(reference), loss_types=[kind])
    loss = DPOTrainer._compute_loss(trainer, model_of(policy), inputs_of(lengths), False)
    return float(loss)


def of_kto(policy, reference, lengths, kl_policy, kl_reference) -> float:
    queue = [kl_policy.sum(1), kl_reference.sum(1)]
    trainer = trainer_of(model_of(reference), loss_type="kto", calculate_KL=True)
    trainer._compute_kl_logps = lambda model, batch: queue.pop(0)
    inputs = inputs_of(lengths) | {"label": torch.arange(2 * PAIRS) < PAIRS}
    return float(KTOTrainer._compute_loss(trainer, model_of(policy), inputs, False))


def generate() -> Arrays:
    rng, lengths = np.random.RandomState(31), LENGTHS.T.reshape(-1)
    policy, reference = drawn(rng, lengths), drawn(rng, lengths)
    others = rng.randint(1, TOKENS + 1, PAIRS)
    # the policy is near the reference on mismatched answers, in one case below and in one above it
    kl_reference = drawn(rng, others)
    kls = {"below": kl_reference * 1.1, "above": kl_reference * 0.9}
    average = lambda x: (x.sum(1) / torch.tensor(lengths)).chunk(2)
    orpo = ORPOTrainer.odds_ratio_loss(trainer_of(None), *average(policy))[0]
    simpo = CPOTrainer.cpo_loss(
        trainer_of(
            None, loss_type="simpo", alpha=0.0, simpo_gamma=MARGIN, label_smoothing=SMOOTHING
        ),
        *average(policy),
    )[0]
    smooth = CPOTrainer.cpo_loss(
        trainer_of(None, loss_type="sigmoid", alpha=0.0, label_smoothing=SMOOTHING),
        *(policy.sum(1) - reference.sum(1)).chunk(2),
    )[0]
    case = {
        **settings(beta=BETA, smoothing=SMOOTHING, margin=MARGIN),
        "policy": policy.numpy(),
        "reference": reference.numpy(),
        "lengths": lengths,
        "kl_reference": kl_reference.numpy(),
        "dpo": np.array(of_pairs("sigmoid", policy, reference, lengths)),
        "ipo": np.array(of_pairs("ipo", policy, reference, lengths)),
        "odds": orpo.numpy(),
        "simpo": simpo.numpy(),
        "smooth_dpo": smooth.numpy(),
    }
    for name, kl_policy in kls.items():
        case[f"kl_policy/{name}"] = kl_policy.numpy()
        case[f"kto/{name}"] = np.array(of_kto(policy, reference, lengths, kl_policy, kl_reference))
    return named("drawn", case)
