"""A small Llama, tuned on imperfect answers, learns from pairs of right and spoiled answers.

Papers: Rafailov et al. 2023 (arXiv:2305.18290); Azar et al. 2023, Ethayarajh et al. 2024, Hong et
al. 2024 and Meng et al. 2024 for the other objectives.
Command: panorax run alignment/dpo      Your own pairs: --data.path FILE.jsonl
From a fine-tuned run: --init-from RUN      Another objective: --objective ipo
"""

from panorax.alignment.base import Base
from panorax.alignment.dpo import Config
from panorax.alignment.instructions import Data
from panorax.alignment.objectives import DPO
from panorax.alignment.pairs import Data as Pairs
from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.core.optim import AdamW, Muon
from panorax.nets.decoders.llama import Model

CLAIMS = (
    Claim(
        "true_accuracy_after",
        ">",
        "true_accuracy_before",
        "Panorax: sampled answers to held-out tasks are right more often than before DPO",
    ),
    Claim(
        "eval_accuracy",
        ">=",
        0.9,
        "Panorax: the implicit reward prefers the right answer in 90% of held-out pairs",
    ),
    Claim(
        "total_variation",
        "<",
        0.02,
        "Rafailov et al. 2023, section 4: DPO reaches RLHF's optimum pi_ref exp(r / beta) / Z",
    ),
    Claim(
        "reward_gap",
        "<",
        0.02,
        "Rafailov et al. 2023, equation 5: r = beta log(pi / pi_ref) + beta log Z",
    ),
    Claim(
        "models_held",
        "==",
        2.0,
        "Rafailov et al. 2023: DPO holds a policy and a reference (PPO also critic and reward)",
    ),
)
ORACLE = "trl: the losses of DPO, IPO, KTO, ORPO and SimPO"


def get_config() -> Config:
    return Config(
        model=Model(
            vocab=517, d_model=128, n_layers=4, n_heads=4, n_kv_heads=4, d_ff=384, unroll=4
        ),
        base=Base(
            data=Data(generated=40_000, spoiled=0.3),
            optim=Muon(peak_lr=0.02, adam_lr=4e-3, warmup=20, final_lr=1e-3),
            run=Run(steps=400, chunk=20),
        ),
        data=Pairs(generated=6_000),
        objective=DPO(beta=0.1),
        optim=AdamW(peak_lr=2e-4, warmup=10, final_lr=2e-5),
        run=Run(steps=150, chunk=10, eval_every=50),
        batch=32,
        context=48,
    )


def smoke() -> Config:
    constant = AdamW(peak_lr=1e-2, schedule="constant", warmup=2)
    return Config(
        model=Model(vocab=512, d_model=32, n_layers=2, n_heads=4, n_kv_heads=2, d_ff=64),
        base=Base(
            data=Data(generated=200, tested=12),
            optim=constant,
            run=Run(steps=4, chunk=4),
            batch=8,
            context=32,
        ),
        data=Pairs(generated=64, tested=12),
        optim=constant,
        run=Run(steps=8, chunk=4),
        batch=8,
        context=32,
    )
