"""panorax run: trains a system or runs a study in its own directory, and reports its claims."""

import contextlib
import math
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from panorax import catalogue
from panorax.commands import experiment
from panorax.core import config
from panorax.core.errors import Interrupted, UserError


def add(commands) -> None:
    sub = commands.add_parser_with_config(
        "run",
        "train a system or measure a study, of Panorax or your own; "
        "--help after its name lists every option",
    )
    sub.add_argument("--smoke", action="store_true", help="run the smallest size, in seconds")
    sub.add_argument(
        "--workdir", type=experiment.path, help="directory of the run; default: runs/NAME/TIME"
    )
    sub.add_argument(
        "--resume",
        action="store_true",
        help="continue the run in --workdir, or the newest run of this system",
    )
    sub.add_argument(
        "--init-from",
        type=experiment.path,
        help="run or Hugging Face folder whose model, weights and tokenizer a run starts from",
    )
    sub.add_argument(
        "--ignore-key",
        action="append",
        default=[],
        help="unknown key of the folder's config.json without effect; may be repeated",
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
    from panorax.engine import run as runs
    from panorax.parallel import processes
    from panorax.parallel.sharding import mesh_sizes

    name, module, cfg = experiment.load(args.system, args.smoke)
    if args.distributed:
        experiment.start_jax(joins=True)
        processes.join()
        args.speaks = processes.is_first()
    directory, mesh = args.workdir, args.mesh
    if args.resume:
        directory = directory or runs.newest_directory(name)
        cfg, mesh = _continued(directory, name, cfg, mesh)
    if args.init_from:
        args.init_from = _folder_of(args.init_from, args.distributed)
        cfg = _started_from(cfg, args.init_from, args.ignore_key)
        experiment.name_ignored(args.init_from, args.ignore_key)
    elif args.ignore_key:
        raise UserError("--ignore-key is for --init-from: it names keys of a folder's config.json")
    cfg = experiment.configured(args, name, cfg)
    if not args.resume:
        cfg = config.completed(cfg, args.overrides)
    if args.record:
        experiment.check_recordable(Path(module.__file__))
        _check_record(args, runs.deviations(module, cfg, directory))
    if not args.distributed:
        devices = math.prod(mesh_sizes(mesh).values())
        experiment.start_jax(max(getattr(cfg, "devices", 1), devices))
    directory = directory or Path(processes.first(lambda: str(runs.new_directory(name))))
    formats = ("png", "pdf") if args.pdf else ("png",)
    try:
        record = runs.run(name, module, cfg, directory, args.resume, mesh, formats)
    except (UserError, KeyboardInterrupt, Interrupted) as stop:
        if not os.path.exists(directory / "config.json"):  # Path.exists raises for a long name
            if args.workdir is None:
                with contextlib.suppress(OSError):  # it holds files
                    directory.rmdir()
        elif not isinstance(stop, UserError):
            command = ["panorax", "run", args.system, "--resume", "--workdir", str(directory)]
            stop.add_note(shlex.join(command + ["--distributed"] * args.distributed))
        raise
    if args.speaks:
        _show(record, name, directory)
    unknown = [name for name, x in record["metrics"].items() if x is None or not math.isfinite(x)]
    if unknown:
        raise UserError(
            f"{', '.join(unknown)} {'are' if unknown[1:] else 'is'} not finite at the end; look "
            f"for NaN in the data, or train with a lower learning rate; results are in {directory}"
        )
    if args.speaks and args.record:
        experiment.record(record, Path(module.__file__).with_suffix(".json"), directory)
    return 0


def _show(record: dict, name: str, directory: Path) -> None:
    """Prints where the results of a run are, its samples and its claims."""
    from panorax.core import claims

    compiling = record["compile_seconds"]  # 0 for a study, whose parts compile for themselves
    part = f", of which {compiling} s compiling" if compiling else ""
    print(f"\n{name}: {record['wall_seconds']} s{part}; results are in {directory}")
    for file in sorted(directory.glob("samples*.txt")):
        print(file.read_text(encoding="utf-8"))
    if text := claims.shown(record):
        print(text)


def _continued(directory: Path, name: str, cfg, mesh: str) -> tuple[object, str]:
    """The config and the mesh of the run in `directory`; `mesh` replaces the latter if given.

    Raises UserError if the run is not of the system or study of `cfg`.
    """
    from panorax.engine import rundir

    stored, flags = rundir.stored(directory)
    if type(stored) is not type(cfg):
        raise UserError(f"{directory} is a run of {type(stored).__module__}, not of {name}")
    return stored, mesh or flags.get("mesh", "")


def _check_record(args, deviating: dict[str, tuple]) -> None:
    """Raises UserError if the result of a run cannot be the record of its config."""
    if args.smoke:
        raise UserError("--record with --smoke: a smoke run measures nothing; leave out --smoke")
    if deviating:
        raise UserError(
            "--record writes the record of the config as it is; "
            f"this run changes {', '.join(deviating)}"
        )


def _folder_of(path: Path, distributed: bool) -> Path:
    """The Hugging Face folder `path`, or the folder of the newest checkpoint of the run `path`.

    It is written into the run once, by a process of its own, because jax may not start before the
    number of its devices is known. Raises UserError if the run cannot be exported.
    """
    from panorax.engine import run as runs

    step = runs.newest_step(path)
    if step is None:
        return path
    folder, unfinished = path / f"huggingface-{step}", path / f".huggingface-{step}"
    if folder.is_dir():
        return folder
    command = ["export", "--workdir", str(path), "--to", str(folder if distributed else unfinished)]
    if distributed:
        raise UserError(
            f"--init-from takes a run on one process; run `panorax {shlex.join(command)}` first"
        )
    shutil.rmtree(unfinished, ignore_errors=True)
    done = subprocess.run(
        [sys.executable, "-m", "panorax", *command], capture_output=True, text=True
    )
    if done.returncode:
        raise UserError(done.stderr.strip().rpartition("\n")[2].removeprefix("panorax: "))
    os.replace(unfinished, folder)
    return folder


def _started_from(cfg, folder: Path, ignored: list[str]):
    """`cfg` with the model, weights and tokenizer of a Hugging Face folder."""
    implementation = config.module_of(cfg)
    if not hasattr(implementation, "started_from"):
        raise UserError(
            "--init-from starts language models from Hugging Face folders; "
            f"this is a config of {implementation.__name__}"
        )
    return implementation.started_from(cfg, folder, ignored)
