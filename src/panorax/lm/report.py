"""Final report of a language model: baselines on its held-out text, and samples."""

from panorax.core.state import Result
from panorax.data.text import Tokens, joined
from panorax.lm import baselines
from panorax.nets.decoders.generate import generate

STARTS, LENGTH = 3, 24  # prompts from the held-out text, and their length in characters


def prompts(documents: tuple[str, ...]) -> list[str]:
    """An empty prompt, and the first characters of lines that are spread over the documents."""
    lines = [line for text in documents for line in text.splitlines() if len(line) > LENGTH]
    lines = lines or [text.strip() for text in documents]
    chosen = dict.fromkeys(lines[i * len(lines) // STARTS][:LENGTH] for i in range(STARTS))
    return ["", *chosen]


def report(params, text: Tokens, key, cfg) -> Result:
    """Bits per byte of the baselines on the held-out documents, and samples.

    Metrics: `ngram_bits_per_byte` and `xz_bits_per_byte`.  File: samples.txt, with 120 new tokens
    after each of `prompts`.
    """
    starts = prompts(text.corpus.held_out)
    samples = generate(
        params,
        starts,
        text.tokenizer,
        key,
        new=120,
        cfg=cfg.model,
        sampling=cfg.sampling,
        context=cfg.context,
    )
    train, held_out = joined(text.corpus.train), joined(text.corpus.held_out)
    metrics = {
        "ngram_bits_per_byte": baselines.ngram_bits_per_byte(train, held_out),
        "xz_bits_per_byte": baselines.xz_bits_per_byte(train, held_out),
    }
    shown = "\n\n".join(
        f"--- {prompt!r}\n{prompt}{sample}" for prompt, sample in zip(starts, samples)
    )
    return Result(metrics, {"samples.txt": shown + "\n"})
