"""Final report of a language model: baselines on its held-out text, and samples."""

from panorax.core.state import Result
from panorax.data.text import Tokens, joined
from panorax.lm import baselines
from panorax.nets.decoders.generate import generate

PROMPTS = ("", "def main(", "import os\nimport sys\n\n\nclass ", 'The "if" statement ')


def report(params, text: Tokens, key, cfg) -> Result:
    """Bits per byte of the baselines on the held-out documents, and samples.

    Metrics: `ngram_bits_per_byte` and `xz_bits_per_byte`.  File: samples.txt, with 120 new tokens
    after each of `PROMPTS`.
    """
    samples = generate(
        params, PROMPTS, text.tokenizer, key, new=120, cfg=cfg.model, sampling=cfg.sampling
    )
    train, held_out = joined(text.corpus.train), joined(text.corpus.held_out)
    metrics = {
        "ngram_bits_per_byte": baselines.ngram_bits_per_byte(train, held_out),
        "xz_bits_per_byte": baselines.xz_bits_per_byte(train, held_out),
    }
    shown = "\n\n".join(
        f"--- {prompt!r}\n{prompt}{sample}" for prompt, sample in zip(PROMPTS, samples)
    )
    return Result(metrics, {"samples.txt": shown + "\n"})
