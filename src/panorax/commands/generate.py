"""panorax generate: text from a trained language model, a run or a Hugging Face folder, printed as it is written."""

import dataclasses
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from panorax.commands import experiment
from panorax.core import config
from panorax.core.errors import UserError

Prompt = tuple[str, list[int]]  # what is shown before the answer, and the ids that the model reads


def add(commands) -> None:
    sub = commands.add_parser(
        "generate", "text from a trained language model: a run, or a Hugging Face folder"
    )
    source = sub.add_mutually_exclusive_group(required=True)
    source.add_argument("--workdir", type=Path, help="directory of a run")
    source.add_argument(
        "--model", type=Path, help="Hugging Face folder: config.json, safetensors, tokenizer.json"
    )
    sub.add_argument(
        "--prompt", action="append", default=[], help="text to continue; may be given several times"
    )
    sub.add_argument(
        "--prompt-file",
        action="append",
        default=[],
        type=Path,
        help="a text to continue, or .jsonl with a prompt or messages a line",
    )
    sub.add_argument(
        "--chat",
        action="store_true",
        help="prompts are what a user says: use the model's chat template",
    )
    sub.add_argument("--system", help="instruction before what the user says")
    sub.add_argument("--tokens", type=int, default=200, help="new tokens at most")
    sub.add_argument("--batch", type=int, default=8, help="prompts at a time")
    for name, kind, text in (
        ("temperature", float, "0 is greedy"),
        ("top-k", int, "0 for all"),
        ("top-p", float, ""),
        ("min-p", float, ""),
    ):
        sub.add_argument(
            f"--{name}",
            type=kind,
            help=f"{text + '; ' if text else ''}default: what the model's folder says, or the config of the run",
        )
    sub.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        help="of a folder's parameters and activations; default: that of its files",
    )
    sub.add_argument(
        "--mesh", default="", help="devices to spread a folder's model over, such as tensor=4"
    )
    sub.add_argument("--seed", type=int, default=0)


def main(args) -> int:
    from panorax.parallel.sharding import mesh_sizes

    if args.workdir and (args.mesh or args.dtype):
        raise UserError(
            "--mesh and --dtype are for a --model; a run is read as it was written, on one device"
        )
    experiment.start_jax(math.prod(mesh_sizes(args.mesh).values()))
    params, cfg, tokenizer, sampling = (of_run if args.workdir else _of_folder)(args)
    said = {
        name: getattr(args, name)
        for name in ("temperature", "top_k", "top_p", "min_p")
        if getattr(args, name) is not None
    }
    sampling = dataclasses.replace(sampling, **said)
    asked = prompts(
        args.prompt, args.prompt_file, tokenizer, args.chat or args.system is not None, args.system
    )
    if not asked or args.batch < 1 or not 0 <= args.seed < 2**31:
        raise UserError(
            "give a --prompt or a --prompt-file, a --batch of at least 1, and a --seed from 0 to below 2^31"
        )
    write(
        params,
        asked,
        tokenizer,
        new=args.tokens,
        batch=args.batch,
        cfg=cfg,
        sampling=sampling,
        seed=args.seed,
    )
    return 0


def of_run(args):
    """Parameters, model, tokenizer and sampling of a run of the language model."""
    from panorax.data import tokenizer
    from panorax.engine import run as runs

    cfg = runs.config_of(args.workdir)
    implementation = config.module_of(cfg)
    if not hasattr(implementation, "decoder_of"):
        raise UserError(
            f"{args.workdir} is a run of {implementation.__name__}; one of a language model is needed"
        )
    state = runs.restore(args.workdir, implementation.system(cfg).init_state)
    params, model, sampling = implementation.decoder_of(state, cfg)
    return (
        params,
        model,
        tokenizer.from_json((args.workdir / "tokenizer.json").read_text()),
        sampling,
    )


def _of_folder(args):
    """Parameters, model, tokenizer and sampling of a Hugging Face folder."""
    from panorax.interop import hf_text, hf_weights, huggingface
    from panorax.nets.decoders import decoder
    from panorax.parallel.sharding import make_mesh, parameter_shardings

    cfg, tokenizer = huggingface.model(args.model), hf_text.tokenizer(args.model)
    params = hf_weights.load(
        args.model, cfg, parameter_shardings(decoder.spec(cfg), make_mesh(args.mesh)), args.dtype
    )
    return (
        params,
        dataclasses.replace(
            cfg, dtype="bfloat16" if params["embed"].dtype == "bfloat16" else "float32"
        ),
        tokenizer,
        hf_text.sampling(args.model),
    )


def prompts(
    texts: Sequence[str], files: Sequence[Path], tokenizer, chat: bool, system: str | None
) -> list[Prompt]:
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
        return "", tokenizer.chat(
            [
                *instruction,
                *([{"role": "user", "content": entry}] if isinstance(entry, str) else entry),
            ]
        )

    try:
        return [encoded(entry) for entry in asked]
    except UnicodeEncodeError as error:
        raise UserError(
            f"a prompt is no text: {error.object[error.start : error.end]!r} is half of a character"
        ) from error


def _read(file: Path) -> Iterator[str | list[dict]]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{file} cannot be read as UTF-8 text: {getattr(error, 'strerror', None) or error}"
        ) from error
    if file.suffix != ".jsonl":
        yield text
        return
    for n, line in enumerate(
        text.split("\n"), 1
    ):  # splitlines would also cut at characters that JSON may hold
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            yield (
                entry["prompt"] + ""
                if "prompt" in entry
                else [
                    {"role": m["role"] + "", "content": m["content"] + ""}
                    for m in entry["messages"]
                ]
            )
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(
                f'{file}, line {n}: {{"prompt": text}} or {{"messages": [{{"role": ..., "content": ...}}]}} is needed'
            ) from error


def write(
    params,
    asked: Sequence[Prompt],
    tokenizer,
    *,
    new: int,
    batch: int,
    cfg,
    sampling,
    seed: int,
    out=None,
) -> None:
    """Print every prompt with its text, `batch` of them at a time; where there is one in a batch, as it grows."""
    import jax

    from panorax.nets.decoders.generate import stream

    out, key = out or sys.stdout, jax.random.key(seed)
    for start in range(0, len(asked), batch):
        shown, ids = zip(*asked[start : start + batch])
        texts = stream(
            params,
            ids,
            tokenizer,
            jax.random.fold_in(key, start),
            new=new,
            cfg=cfg,
            sampling=sampling,
        )
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
