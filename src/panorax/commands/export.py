"""panorax export: the language model of a run as a Hugging Face folder."""

from pathlib import Path

from panorax.commands import experiment
from panorax.commands.generate import of_run


def add(commands) -> None:
    sub = commands.add_parser("export", "the language model of a run as a Hugging Face folder")
    sub.add_argument("--workdir", type=Path, required=True, help="directory of the run")
    sub.add_argument("--to", type=Path, required=True, help="the folder to write")
    sub.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")


def main(args) -> int:
    from panorax.engine import run as runs
    from panorax.interop import huggingface

    experiment.start_jax()
    params, model, tokenizer, _ = of_run(args)
    huggingface.save(
        args.to, params, model, tokenizer, runs.config_of(args.workdir).context, args.dtype
    )
    print(f"written to {args.to}")
    return 0
