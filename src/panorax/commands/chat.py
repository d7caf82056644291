"""panorax chat: talks in the terminal to a fine-tuned model of a run or a Hugging Face folder."""

import sys
from collections.abc import Iterator

from panorax.commands import experiment, generate
from panorax.core.errors import UserError

HELP = "/reset forgets the conversation, /quit ends it"


def add(commands) -> None:
    sub = commands.add_parser(
        "chat", "talk to a fine-tuned model: a run such as of alignment/sft, or a folder"
    )
    sub.add_argument(
        "run",
        metavar="RUN",
        type=experiment.path,
        help="directory of a run, or Hugging Face folder with a chat template",
    )
    sub.add_argument(
        "--config",
        metavar="FILE.py",
        help="config file that the run was started with, if its system is not part of Panorax",
    )
    sub.add_argument("--system", help="system message before the conversation")
    sub.add_argument("--tokens", type=int, default=200, help="largest number of tokens per answer")
    generate.add_sampling(sub)
    sub.add_argument("--seed", type=int, default=0, help="seed of sampling")


def main(args) -> int:
    for name, value, low in (("--tokens", args.tokens, 1), ("--seed", args.seed, 0)):
        if not low <= value < 2**31:
            raise UserError(f"{name} must be at least {low} and below 2^31, got {value}")
    experiment.start_jax()
    model = generate.sampled(_model(args), args)
    if not getattr(model.tokenizer, "template", None):
        raise UserError(
            f"{args.run} has no chat template: it continues texts. `panorax run alignment/sft "
            f"--init-from {args.run}` teaches it to answer, or use `panorax generate`"
        )
    talk(model, lines(sys.stdin), args.system, args.tokens, args.seed)
    return 0


def _model(args) -> generate.LanguageModel:
    """The model of a run, or of a Hugging Face folder, which has no checkpoints."""
    from panorax.interop import hf_text, huggingface

    if (args.run / "model.safetensors.index.json").is_file() or [*args.run.glob("*.safetensors")]:
        params, cfg, tokens = huggingface.load(args.run)
        sampling, context = hf_text.sampling(args.run), huggingface.context(args.run)
        return generate.LanguageModel(params, cfg, tokens, sampling, context)
    return generate.of_run(args.run, args.config)


def lines(source) -> Iterator[str]:
    """The lines that a person types, after a prompt on a terminal, up to its end."""
    while True:
        if source.isatty():
            print("> ", end="", flush=True)
        line = source.readline()
        if not line:
            return
        yield line.strip()


def talk(
    model: generate.LanguageModel,
    typed: Iterator[str],
    system: str | None,
    new: int,
    seed: int,
    out=None,
) -> None:
    """Answers each of the lines `typed`, and prints the answers as they grow.

    The model reads all earlier messages; `/reset` forgets them, and so does a conversation that
    fills the context of the model, oldest messages first. The key of answer i is `fold_in(key, i)`.
    """
    import jax

    out, key = out or sys.stdout, jax.random.key(seed)
    first = [{"role": "system", "content": system}] if system else []
    print(HELP, file=sys.stderr)
    messages, answers = [*first], 0
    for line in typed:
        if line == "/quit":
            return
        if line == "/reset":
            messages = [*first]
        elif line.startswith("/"):
            print(f"unknown command {line.split()[0]}; {HELP}", file=sys.stderr)
        elif line:
            messages = [*messages, {"role": "user", "content": line}]
            messages, ids = fitted(model, messages, len(first), new)
            text = answer(model, ids, jax.random.fold_in(key, answers), new, out)
            messages.append({"role": "assistant", "content": text})
            answers += 1


def fitted(
    model: generate.LanguageModel, messages: list[dict], kept: int, new: int
) -> tuple[list[dict], list[int]]:
    """The messages that fit into the context with an answer of `new` tokens, and their ids.

    Without room, the oldest messages after the first `kept` are dropped, in pairs.
    """
    ids, room = model.tokenizer.chat(messages), model.context
    new = min(new, room // 2) if room else new
    while room and len(ids) + new > room and len(messages) > kept + 2:
        messages = messages[:kept] + messages[kept + 2 :]
        ids = model.tokenizer.chat(messages)
    return messages, ids


def answer(model: generate.LanguageModel, ids: list[int], key, new: int, out) -> str:
    """Prints the answer to a conversation as it grows, and returns it."""
    from panorax.nets.decoders.generate import stream

    given = [""]

    def growing() -> Iterator[str]:
        options = {"cfg": model.cfg, "sampling": model.sampling, "context": model.context}
        for (text,) in stream(model.params, [ids], model.tokenizer, key, new=new, **options):
            given.append(text)
            yield text

    generate.write_growing("", growing(), out)
    return given[-1].strip()
