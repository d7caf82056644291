"""What `panorax generate` does: prompts from the command line and from files, texts to the terminal as they are written."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax

from panorax.core.errors import UserError
from panorax.lm.generate import stream
from panorax.ops.sampling import Sampling

Prompt = tuple[str, list[int]]  # what is shown before the answer, and the ids that the model reads


def prompts(texts: Sequence[str], files: Sequence[Path], tokenizer, chat: bool, system: str | None) -> list[Prompt]:
    """Prompts as ids. A file is one prompt, a .jsonl file one a line: {"prompt": text} or {"messages": [...]}.

    With `chat` a text is what the user says; the instruction `system`, if there is one, stands before every conversation. Raises UserError naming
    what cannot be read.
    """
    asked = [*texts, *(entry for file in files for entry in _read(file))] or ([] if chat else [""])
    instruction = [{"role": "system", "content": system}] if system else []

    def encoded(entry) -> Prompt:
        if isinstance(entry, str) and not chat:
            entry.encode()  # halves of characters are refused here
            return entry, tokenizer.prompt(entry)
        if not hasattr(tokenizer, "chat"):
            raise UserError("this model has no chat template: give plain prompts")
        return "", tokenizer.chat([*instruction, *([{"role": "user", "content": entry}] if isinstance(entry, str) else entry)])

    try:
        return [encoded(entry) for entry in asked]
    except UnicodeEncodeError as error:
        raise UserError(f"a prompt is no text: {error.object[error.start : error.end]!r} is half of a character") from error


def _read(file: Path) -> Iterator[str | list[dict]]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read as UTF-8 text: {getattr(error, 'strerror', None) or error}") from error
    if file.suffix != ".jsonl":
        yield text
        return
    for n, line in enumerate(text.split("\n"), 1):  # splitlines would also cut at characters that JSON may hold
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            yield entry["prompt"] + "" if "prompt" in entry else [{"role": m["role"] + "", "content": m["content"] + ""} for m in entry["messages"]]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(f'{file}, line {n}: {{"prompt": text}} or {{"messages": [{{"role": ..., "content": ...}}]}} is needed') from error


def write(params, asked: Sequence[Prompt], tokenizer, *, new: int, batch: int, cfg, sampling: Sampling, seed: int, out=None) -> None:
    """Print every prompt with its text, `batch` of them at a time; where there is one in a batch, as it grows."""
    out, key = out or sys.stdout, jax.random.key(seed)
    for start in range(0, len(asked), batch):
        shown, ids = zip(*asked[start : start + batch])
        texts = stream(params, ids, tokenizer, jax.random.fold_in(key, start), new=new, cfg=cfg, sampling=sampling)
        if len(ids) == 1:
            _as_it_grows(shown[0], (row[0] for row in texts), out)
        else:
            *_, complete = texts
            for prompt, text in zip(shown, complete):
                print(prompt + text, file=out, flush=True)


def _as_it_grows(prompt: str, texts: Iterator[str], out) -> None:
    """Write what is new in each text; a character whose bytes are not all there yet waits."""
    out.write(prompt)
    written = text = ""
    for text in texts:
        whole = text.rstrip("�")
        if whole.startswith(written):
            out.write(whole[len(written) :])
            out.flush()
            written = whole
    print(text[len(written) :], file=out, flush=True)
