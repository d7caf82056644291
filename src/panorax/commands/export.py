"""panorax export: writes the language model of a run as a Hugging Face folder."""

from panorax.commands import experiment
from panorax.commands.generate import of_run


def add(commands) -> None:
    sub = commands.add_parser(
        "export", "write the language model of a run to a Hugging Face folder"
    )
    sub.add_argument("--workdir", type=experiment.path, required=True, help="directory of the run")
    sub.add_argument(
        "--config",
        metavar="FILE.py",
        help="config file that the run was started with, if its system is not part of Panorax",
    )
    sub.add_argument("--to", type=experiment.path, required=True, help="folder to write")
    sub.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        default="float32",
        help="dtype of the written parameters",
    )


def main(args) -> int:
    from panorax.data.readers import read_object
    from panorax.interop import huggingface

    experiment.start_jax()
    model = of_run(args.workdir, args.config)
    huggingface.save(
        args.to,
        model.params,
        model.cfg,
        model.tokenizer,
        model.context,
        args.dtype,
        model.sampling,
        read_object(args.workdir / huggingface.METADATA, optional=True),
    )
    print(f"written to {args.to}")
    return 0
