"""Temperature, top-k, top-p and min-p against the warpers of transformers."""

import jax
import numpy as np

from panorax.ops.sampling import Sampling, min_p, sample, top_k, top_p
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
        np.testing.assert_array_equal(frequency > 0, np.isfinite(case["chain"]))
        np.testing.assert_allclose(frequency, probability, atol=4 * 0.5 / n**0.5)
