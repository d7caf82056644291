"""panorax run: trains a system or runs a study in its own directory, and reports its claims."""

import math
from pathlib import Path

from panorax import catalogue
from panorax.commands import experiment
from panorax.core import config
from panorax.core.errors import UserError


def add(commands) -> None:
    sub = commands.add_parser_with_config(
        "run",
        "train a system or measure a study, of Panorax or your own; "
        "--help after its name lists every option",
    )
    sub.add_argument("--smoke", action="store_true", help="run the smallest size, in seconds")
    sub.add_argument("--workdir", type=Path, help="directory of the run; default: runs/NAME/TIME")
    sub.add_argument(
        "--resume",
        action="store_true",
        help="continue the run in --workdir, or the newest run of this system",
    )
    sub.add_argument(
        "--init-from",
        type=Path,
        help="Hugging Face folder whose model, weights and tokenizer a language model starts from",
    )
    sub.add_argument(
        "--record",
        action="store_true",
        help="write the result beside the config, as its record in the catalogue",
    )
    sub.add_argument("--pdf", action="store_true", help="write every figure as PDF too")
    sub.add_argument("--mesh", default="", help="devices to split over, such as data=2,fsdp=2")
    sub.add_argument(
        "--distributed",
        action="store_true",
        help="join the other processes of a job that a launcher started",
    )


def main(args) -> int:
    if args.system is None:
        print(args.parser.format_help(), "configs:", *catalogue.names(), sep="\n  ")
        return 0 if args.help else 2
    from panorax.core.claims import Verdict
    from panorax.engine import run as runs
    from panorax.parallel import processes
    from panorax.parallel.sharding import mesh_sizes

    name, module, cfg = experiment.load(args.system, args.smoke)
    if args.init_from:
        cfg = _started_from(cfg, args.init_from)
    cfg = experiment.configured(args, name, cfg)
    if args.record and args.smoke:
        raise UserError("--record with --smoke: a smoke run measures nothing; leave out --smoke")
    devices = max(getattr(cfg, "devices", 1), math.prod(mesh_sizes(args.mesh).values()))
    experiment.start_jax(1 if args.distributed else devices)
    if args.distributed:
        processes.join()
        args.speaks = processes.is_first()
    choose = runs.newest_directory if args.resume else runs.default_directory
    directory = args.workdir or Path(processes.first(lambda: str(choose(name))))
    formats = ("png", "pdf") if args.pdf else ("png",)
    record = runs.run(name, module, cfg, directory, args.resume, args.mesh, formats)
    if not args.speaks:
        return 0
    seconds, compiling = record["wall_seconds"], record["compile_seconds"]
    print(f"\n{name}: {seconds} s, of which {compiling} s compiling; results are in {directory}")
    for file in sorted(directory.glob("samples*.txt")):
        print(file.read_text())
    for verdict in record["claims"]:
        print(Verdict(**verdict))
    if args.record:
        experiment.record(record, Path(module.__file__).with_suffix(".json"), directory)
    return 0


def _started_from(cfg, folder: Path):
    """`cfg` with the model, weights and tokenizer of a Hugging Face folder."""
    implementation = config.module_of(cfg)
    if not hasattr(implementation, "started_from"):
        raise UserError(
            "--init-from starts language models from Hugging Face folders; "
            f"this is a config of {implementation.__name__}"
        )
    return implementation.started_from(cfg, folder)
