"""What a language model run ends with: the baselines on its text, and samples."""

from panorax.core.state import Result
from panorax.data.text import Tokens, joined
from panorax.lm import baselines
from panorax.nets.decoders.generate import generate

PROMPTS = ("", "def main(", "import os\nimport sys\n\n\nclass ", 'The "if" statement ')


def report(params, text: Tokens, key, cfg) -> Result:
    """Bits per byte of the n-gram model and of xz on the held-out documents, and continuations of a few prompts in samples.txt."""
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
