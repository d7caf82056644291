"""Logits after the warpers and penalties of transformers, alone and in the order of `generate`."""

import numpy as np
import torch
from case import Arrays, named, normal, settings
from transformers import (
    MinPLogitsWarper,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    SuppressTokensLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

GROUP = "torch"
PACKAGES = ("torch", "transformers")
SETTINGS = {"temperature": 0.7, "top_k": 6, "top_p": 0.9, "min_p": 0.08}
WARPERS = {
    "temperature": TemperatureLogitsWarper,
    "top_k": TopKLogitsWarper,
    "top_p": TopPLogitsWarper,
    "min_p": MinPLogitsWarper,
}
PENALTIES = {"repetition_penalty": 1.3, "no_repeat_ngram_size": 3, "suppress_tokens": [2, 5]}


def penalties() -> Arrays:
    """Rows that repeat a pair of tokens, a longer sequence, or nothing."""
    rng = np.random.RandomState(6)
    logits, tokens = normal(rng, 4, 9, std=2.0), rng.randint(0, 9, (4, 8))
    tokens[0] = [1, 2, 3, 1, 2, 4, 1, 2]
    tokens[1] = [7, 7, 7, 7, 7, 7, 7, 7]
    ids, scores = torch.tensor(tokens), torch.tensor(logits)
    processors = {
        "repetition_penalty": RepetitionPenaltyLogitsProcessor(PENALTIES["repetition_penalty"]),
        "no_repeat_ngram_size": NoRepeatNGramLogitsProcessor(PENALTIES["no_repeat_ngram_size"]),
        "suppress_tokens": SuppressTokensLogitsProcessor(PENALTIES["suppress_tokens"], "cpu"),
    }
    alone = {name: process(ids, scores.clone()).numpy() for name, process in processors.items()}
    pairs = NoRepeatNGramLogitsProcessor(2)(ids, scores.clone()).numpy()
    single = NoRepeatNGramLogitsProcessor(1)(ids, scores.clone()).numpy()
    for process in processors.values():
        scores = process(ids, scores)
    inputs = {"logits": logits, "tokens": tokens.astype(np.int32), **settings(**PENALTIES)}
    return inputs | alone | {"pairs": pairs, "single": single, "chain": scores.numpy()}


def generate() -> Arrays:
    logits = normal(np.random.RandomState(5), 4, 17, std=2.0)
    warped = {
        name: WARPERS[name](value)(None, torch.tensor(logits)).numpy()
        for name, value in SETTINGS.items()
    }
    chain = torch.tensor(logits)
    for name, value in SETTINGS.items():
        chain = WARPERS[name](value)(None, chain)
    case = {"logits": logits, **settings(**SETTINGS), **warped, "chain": chain.numpy()}
    return named("warpers", case) | named("penalties", penalties())
