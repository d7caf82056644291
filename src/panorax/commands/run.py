"""panorax run: train a system or make a study, in a directory of its own, and say which claims were kept."""

import math
from pathlib import Path

from panorax import catalogue
from panorax.commands import experiment
from panorax.core import config
from panorax.core.errors import UserError


def add(commands) -> None:
    sub = commands.add_parser(
        "run",
        "run a system or a config file; --help after its name lists every option",
        add_help=False,
    )
    sub.add_argument("system", nargs="?")
    sub.add_argument("--smoke", action="store_true", help="the smallest size, in seconds")
    sub.add_argument("--workdir", type=Path, help="directory of the run (default runs/NAME/TIME)")
    sub.add_argument(
        "--resume",
        action="store_true",
        help="continue the run in --workdir, or the newest of this system",
    )
    sub.add_argument(
        "--init-from",
        type=Path,
        help="Hugging Face folder whose model, weights and tokenizer a language model starts from",
    )
    sub.add_argument(
        "--record",
        action="store_true",
        help="write the result beside the config, for the catalogue",
    )
    sub.add_argument("--mesh", default="", help="devices to spread over, such as data=2,fsdp=2")
    sub.add_argument(
        "--distributed",
        action="store_true",
        help="one of the processes that a launcher started: join the others",
    )


def main(args) -> int:
    if args.system is None:
        known = "\n  ".join(catalogue.names())
        print(f"usage: panorax run CONFIG|FILE.py [--smoke] [--workdir DIR] [--resume] [--record] [--mesh data=N,fsdp=N] [--distributed] [OPTIONS]\n\n"
              f"`panorax run CONFIG --help` lists its options. Configs:\n  {known}")  # fmt: skip
        return 0 if {"--help", "-h"} & {*args.overrides} else 2
    from panorax.core.claims import Verdict
    from panorax.engine import run as runs
    from panorax.parallel import processes
    from panorax.parallel.sharding import mesh_sizes

    name, module, cfg = experiment.load(args.system, args.smoke)
    if args.init_from:
        implementation = config.module_of(cfg)
        if not hasattr(implementation, "started_from"):
            raise UserError(
                f"--init-from starts language models from Hugging Face folders; this is a config of {implementation.__name__}"
            )
        cfg = implementation.started_from(cfg, args.init_from)
    cfg = config.override(cfg, args.overrides, f"panorax run {name}")
    if args.record and args.smoke:
        raise UserError("a smoke run is not recorded: its numbers say nothing")
    experiment.start_jax(
        1
        if args.distributed
        else max(getattr(cfg, "devices", 1), math.prod(mesh_sizes(args.mesh).values()))
    )
    if args.distributed:
        processes.join()
        args.speaks = processes.is_first()
    choose = runs.newest_directory if args.resume else runs.default_directory
    directory = args.workdir or Path(processes.first(lambda: str(choose(name))))
    record = runs.run(name, module, cfg, directory, args.resume, args.mesh)
    if not args.speaks:
        return 0
    print(
        f"\n{name}: {record['wall_seconds']} s, {record['compile_seconds']} s of it compiling; everything is in {directory}"
    )
    for file in sorted(directory.glob("samples*.txt")):
        print(file.read_text())
    for verdict in record["claims"]:
        print(Verdict(**verdict))
    if args.record:
        experiment.record(record, Path(module.__file__).with_suffix(".json"), directory)
    return 0
