"""What is left of the logits by temperature, top-k, top-p and min-p, against transformers' warpers."""

import jax
import numpy as np

from panorax.ops.sampling import Sampling, min_p, sample, top_k, top_p


def test_warpers(golden):
    with golden("sampling/warpers") as case:
        logits, settings = case["logits"], case.settings()
        ours = {
            "temperature": logits / settings["temperature"],
            "top_k": top_k(logits, settings["top_k"]),
            "top_p": top_p(logits, settings["top_p"]),
            "min_p": min_p(logits, settings["min_p"]),
        }
        for name, left in ours.items():
            np.testing.assert_allclose(left, case[name], rtol=1e-6, err_msg=name)
        # all of them one after another are seen by what is drawn: every token that is left, as often as it should, and no other
        n = 4096
        keys = jax.random.split(jax.random.key(0), n)
        draws = jax.jit(jax.vmap(lambda key: sample(logits, key, Sampling(**settings))))(keys)
        frequency = np.stack(
            [np.bincount(row, minlength=logits.shape[1]) / n for row in np.asarray(draws).T]
        )
        np.testing.assert_array_equal(frequency > 0, np.isfinite(case["chain"]))
        np.testing.assert_allclose(
            frequency, jax.nn.softmax(case["chain"], -1), atol=4 * 0.5 / n**0.5
        )
