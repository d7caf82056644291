"""Temperature, top-k, top-p, min-p and penalties against transformers."""

import jax
import jax.numpy as jnp
import numpy as np

from panorax.ops.sampling import (
    Sampling,
    min_p,
    no_repeat_ngrams,
    penalised,
    repetition_penalty,
    sample,
    top_k,
    top_p,
)
from panorax.testing.tolerances import NUMBER


def test_warpers(golden):
    with golden("sampling/warpers") as case:
        logits, settings = case["logits"], case.settings()
        ours = {
            "temperature": logits / settings["temperature"],
            "top_k": top_k(logits, settings["top_k"]),
            "top_p": top_p(logits, settings["top_p"]),
            "min_p": min_p(logits, settings["min_p"]),
        }
        for name, warped in ours.items():
            np.testing.assert_allclose(warped, case[name], **NUMBER, err_msg=name)

        # the frequencies of samples show all warpers applied in order
        n = 4096
        keys = jax.random.split(jax.random.key(0), n)
        draws = jax.jit(jax.vmap(lambda key: sample(logits, key, Sampling(**settings))))(keys)
        counts = [np.bincount(row, minlength=logits.shape[1]) for row in np.asarray(draws).T]
        frequency, probability = np.stack(counts) / n, jax.nn.softmax(case["chain"], -1)
        error = 0.5 / n**0.5  # largest standard error of a frequency
        np.testing.assert_array_equal(frequency > 0, np.isfinite(case["chain"]))
        np.testing.assert_allclose(frequency, probability, atol=4 * error)


def test_penalties(golden):
    with golden("sampling/penalties") as case:
        logits, tokens, settings = case["logits"], case["tokens"], case.settings()
        length = jnp.full(len(tokens), tokens.shape[1])
        text = jnp.pad(tokens, ((0, 0), (0, 4)), constant_values=1)  # what follows does not count
        suppressed = Sampling(suppress_tokens=tuple(settings["suppress_tokens"]))
        penalty, n = settings["repetition_penalty"], settings["no_repeat_ngram_size"]
        ours = {
            "repetition_penalty": repetition_penalty(logits, text, length, penalty),
            "no_repeat_ngram_size": no_repeat_ngrams(logits, text, length, n),
            "pairs": no_repeat_ngrams(logits, text, length, 2),
            "single": no_repeat_ngrams(logits, text, length, 1),
            "suppress_tokens": penalised(logits, text, length, suppressed),
            "chain": penalised(
                logits, text, length, Sampling(**settings | {"suppress_tokens": (2, 5)})
            ),
        }
        for name, changed in ours.items():
            np.testing.assert_allclose(changed, case[name], **NUMBER, err_msg=name)
