"""panorax generate: prints text from the language model of a run or a Hugging Face folder."""

import dataclasses
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from panorax.commands import experiment
from panorax.core import config
from panorax.core.errors import UserError


def token_ids(text: str) -> tuple[int, ...]:
    """Token ids of a text such as 3,17."""
    return tuple(int(number) for number in text.split(","))


SAMPLING = {
    "temperature": (float, "sampling temperature, 0 takes the argmax"),
    "top-k": (int, "number of most probable tokens to sample from, 0 is all"),
    "top-p": (float, "probability mass of the most probable tokens to sample from, 1 is all"),
    "repetition-penalty": (float, "divisor of the logits of tokens of the text so far, 1 is off"),
    "no-repeat-ngram-size": (
        int,
        "length of token sequences that are never repeated, 0 is off",
    ),
    "suppress-tokens": (token_ids, "ids of tokens that are never sampled, such as 3,17"),
    "min-p": (float, "smallest probability to sample, as a share of the largest, 0 is all"),
}
LINE = '{"prompt": text} or {"messages": [{"role": ..., "content": ...}], "tools": [...]}'


class Prompt(NamedTuple):
    """A prompt as text and as tokens."""

    shown: str
    """text that is printed before the continuation; empty for a conversation"""
    ids: list[int]
    """token ids that the model reads"""


class LanguageModel(NamedTuple):
    """A trained decoder and everything that turns it into text."""

    params: Any
    cfg: Any
    """config of the decoder"""
    tokenizer: Any
    sampling: Any
    """default sampling"""
    context: int | None
    """most tokens that the model was trained to read, None if it is not known"""


class Conversation(NamedTuple):
    """Messages of a conversation, and schemas of the functions that the model may call."""

    messages: list[dict]
    tools: list[dict] | None


def add(commands) -> None:
    sub = commands.add_parser(
        "generate", "print text from a language model: a run or a Hugging Face folder"
    )
    source = sub.add_mutually_exclusive_group(required=True)
    source.add_argument("--workdir", type=experiment.path, help="directory of a run")
    sub.add_argument(
        "--config",
        metavar="FILE.py",
        help="config file that the run was started with, if its system is not part of Panorax",
    )
    source.add_argument(
        "--model",
        type=experiment.path,
        help="Hugging Face folder: config.json, safetensors, tokenizer.json",
    )
    sub.add_argument(
        "--prompt", action="append", default=[], help="text to continue; may be repeated"
    )
    sub.add_argument(
        "--prompt-file",
        action="append",
        default=[],
        type=experiment.path,
        help="text file to continue, or .jsonl file with one prompt or list of messages per line",
    )
    sub.add_argument(
        "--chat",
        action="store_true",
        help="treat prompts as messages of a user and apply the model's chat template",
    )
    sub.add_argument("--system", help="system message before every conversation; implies --chat")
    sub.add_argument("--tokens", type=int, default=200, help="largest number of new tokens")
    sub.add_argument("--batch", type=int, default=8, help="prompts per batch")
    add_sampling(sub)
    sub.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        help="dtype of a folder's parameters and activations; default: the dtype of its files",
    )
    sub.add_argument(
        "--mesh", default="", help="devices to split a folder's model over, such as tensor=4"
    )
    sub.add_argument(
        "--ignore-key",
        action="append",
        default=[],
        help="unknown key of config.json that does not affect the computation; may be repeated",
    )
    sub.add_argument("--seed", type=int, default=0, help="seed of sampling")


def add_sampling(sub) -> None:
    """Adds the options of sampling to a command."""
    for name, (kind, text) in SAMPLING.items():
        sub.add_argument(f"--{name}", type=kind, help=f"{text}; default: set by the folder or run")


def sampled(model: LanguageModel, args) -> LanguageModel:
    """`model` with the sampling that the options of `add_sampling` change.

    Raises UserError if they leave no token.
    """
    options = {name.replace("-", "_"): getattr(args, name.replace("-", "_")) for name in SAMPLING}
    sampling = dataclasses.replace(
        model.sampling, **{name: value for name, value in options.items() if value is not None}
    )
    if {*range(model.cfg.vocab)} <= {*sampling.suppress_tokens}:
        raise UserError("--suppress-tokens leaves no token of the vocabulary")
    return model._replace(sampling=sampling)


def main(args) -> int:
    from panorax.parallel.sharding import mesh_sizes

    if args.workdir and (args.mesh or args.dtype or args.ignore_key):
        raise UserError(
            "--mesh, --dtype and --ignore-key are for --model; a run is loaded on one device in "
            "its own dtype"
        )
    for name, value, low in (
        ("--tokens", args.tokens, 1),
        ("--batch", args.batch, 1),
        ("--seed", args.seed, 0),
    ):
        if not low <= value < 2**31:
            raise UserError(f"{name} must be at least {low} and below 2^31, got {value}")
    if args.chat and not args.prompt and not args.prompt_file:
        raise UserError("--chat needs a --prompt or a --prompt-file")
    experiment.start_jax(math.prod(mesh_sizes(args.mesh).values()))
    loaded = of_run(args.workdir, args.config) if args.workdir else _of_folder(args)
    model = sampled(loaded, args)
    chat = args.chat or args.system is not None
    texts = prompts(args.prompt, args.prompt_file, model.tokenizer, chat, args.system)
    if not texts:
        raise UserError("the --prompt-file holds no prompt")
    write(model, texts, new=args.tokens, batch=args.batch, seed=args.seed)
    return 0


def of_run(directory: Path, config_file: str | None = None) -> LanguageModel:
    """The language model of the run in `directory`. Raises UserError if it has none.

    config_file: config file of a system that is not part of Panorax.
    """
    from panorax.data.readers import read_object
    from panorax.engine import run as runs
    from panorax.interop import huggingface

    if config_file:
        experiment.load(config_file)
    cfg = runs.config_of(directory)
    implementation = config.module_of(cfg)
    if not hasattr(implementation, "decoder_of"):
        raise UserError(
            f"{directory} is a run of {implementation.__name__}; give a run of a language model"
        )
    state = runs.restore(directory, implementation.system(cfg).init_state)
    params, model, sampling = implementation.decoder_of(state, cfg)
    started_from = read_object(directory / huggingface.METADATA, optional=True).get("config", {})
    context = max(cfg.context, started_from.get("max_position_embeddings") or 0)
    return LanguageModel(params, model, _tokenizer(directory), sampling, context)


def _tokenizer(directory: Path):
    """The tokenizer of a run. Raises UserError if its file is missing or damaged."""
    from panorax.data import tokenizer

    path = directory / "tokenizer.json"
    try:
        return tokenizer.from_json(path.read_text(encoding="utf-8"))
    except Exception as error:  # the library of tokenizers raises Exception itself
        reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        raise UserError(f"{path} cannot be read as the tokenizer of a run: {reason}") from error


def _of_folder(args) -> LanguageModel:
    """The language model of the Hugging Face folder `args.model`."""
    from panorax.interop import hf_text, huggingface

    loaded = huggingface.load(args.model, args.dtype, args.mesh, args.ignore_key)
    experiment.name_ignored(args.model, args.ignore_key)
    sampling, context = hf_text.sampling(args.model), huggingface.context(args.model)
    return LanguageModel(*loaded, sampling, context)


def prompts(
    texts: Sequence[str], files: Sequence[Path], tokenizer, chat: bool, system: str | None
) -> list[Prompt]:
    """Tokenises prompts: `texts`, then `files`.

    A text file is one prompt. A .jsonl file has one prompt per line: {"prompt": text} or
    {"messages": [...]}, with "tools": [...] for functions that the model may call. With `chat`, a
    text is the message of a user. `system`, if not None, is the system message of every
    conversation. Without texts and files, the result is one empty prompt, or no prompt with `chat`.
    Raises UserError for a file or a prompt that cannot be read.
    """
    entries = [*texts, *(entry for file in files for entry in _read(file))]
    if not entries and not chat:
        entries = [""]
    instruction = [{"role": "system", "content": system}] if system else []

    def encoded(entry: str | Conversation) -> Prompt:
        if isinstance(entry, str) and not chat:
            entry.encode()  # raises UnicodeEncodeError for half of a surrogate pair
            return Prompt(entry, tokenizer.prompt(entry))
        if not hasattr(tokenizer, "chat"):
            raise UserError("this model has no chat template: give plain prompts")
        if isinstance(entry, str):
            entry = Conversation([{"role": "user", "content": entry}], None)
        return Prompt("", tokenizer.chat([*instruction, *entry.messages], entry.tools))

    try:
        return [encoded(entry) for entry in entries]
    except UnicodeEncodeError as error:
        raise UserError(
            f"a prompt is no text: {error.object[error.start : error.end]!r} is half of a character"
        ) from error


def _read(file: Path) -> Iterator[str | Conversation]:
    """The prompts of a file."""
    try:
        text = file.read_text(encoding="utf-8-sig")  # without a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{file} cannot be read as UTF-8 text: {getattr(error, 'strerror', None) or error}"
        ) from error
    if file.suffix != ".jsonl":
        yield text
        return
    # str.splitlines would also split at characters that JSON strings may contain.
    for n, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield _entry(json.loads(line))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(f"{file}, line {n}: expected {LINE}") from error


def _entry(entry: dict) -> str | Conversation:
    """The prompt or the conversation of a line. Raises KeyError or TypeError for anything else.

    The content of a message is a text; a message with "tool_calls" needs none.
    """
    if "prompt" in entry:
        return _text(entry["prompt"])
    messages, tools = [{**message} for message in entry["messages"]], entry.get("tools")
    for message in messages:
        _text(message["role"])
        if message.get("content") is not None or not message.get("tool_calls"):
            _text(message["content"])
    if tools is not None:
        tools = [{**tool} for tool in tools]
    return Conversation(messages, tools)


def _text(value) -> str:
    """`value`. Raises TypeError unless it is a text."""
    if not isinstance(value, str):
        raise TypeError(f"expected a text, got {type(value).__name__}")
    return value


def write(
    model: LanguageModel, prompts: Sequence[Prompt], *, new: int, batch: int, seed: int, out=None
) -> None:
    """Prints every prompt with its continuation of at most `new` tokens, `batch` prompts at a time.

    A batch of one prompt is printed as it is generated. A line on stderr says if texts become
    longer than the model's context. The key of a batch is `fold_in(key, i)` with the key of `seed`
    and the index i of its first prompt.
    """
    import jax

    from panorax.nets.decoders.generate import stream
    from panorax.ops.positions import DynamicNTKRope

    out, key = out or sys.stdout, jax.random.key(seed)
    longest = max(len(ids) for _, ids in prompts) + new
    # dynamic scaling fits the positions to any length
    context = None if isinstance(model.cfg.positions, DynamicNTKRope) else model.context
    if context and longest > context:
        print(
            f"panorax: {longest} tokens, prompt and new ones, are more than the {context} that "
            f"the model was trained to read; it continues from the last {context // 2} whenever "
            "its context is full",
            file=sys.stderr,
        )
    for start in range(0, len(prompts), batch):
        shown, ids = zip(*prompts[start : start + batch])
        texts = stream(
            model.params,
            ids,
            model.tokenizer,
            jax.random.fold_in(key, start),
            new=new,
            cfg=model.cfg,
            sampling=model.sampling,
            context=context,
        )
        if len(ids) == 1:
            write_growing(shown[0], (row[0] for row in texts), out)
        else:
            *_, complete = texts
            for prompt, text in zip(shown, complete):
                print(prompt + text, file=out, flush=True)


def write_growing(prompt: str, texts: Iterator[str], out) -> None:
    """Prints `prompt`, then what each of `texts` adds to the previous text.

    A character is printed once all its bytes are generated.
    """
    out.write(prompt)
    written = text = ""
    for text in texts:
        complete = text.rstrip("�")
        if complete.startswith(written):
            out.write(complete[len(written) :])
            out.flush()
            written = complete
    print(text[len(written) :], file=out, flush=True)
