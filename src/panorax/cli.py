"""The command line: list, show, run, plan, generate, export, bench. A user's mistake is one line and exit code 2."""

import argparse
import dataclasses
import importlib
import json
import logging
import math
import os
import sys
from pathlib import Path

from panorax.catalogue import CATALOGUE, CONFIGS, entry_of
from panorax.core import config
from panorax.core.errors import Interrupted, UserError


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit code: 0 done, 2 a user's mistake, 128 + n stopped by signal n (130 SIGINT, 143 SIGTERM) with everything saved."""
    parser = _parser()
    args, args.overrides = parser.parse_known_args([_dashed(arg) for arg in (sys.argv[1:] if argv is None else argv)])
    args.speaks = True
    if args.overrides and args.command not in (run, plan):
        parser.error(f"unknown argument {args.overrides[0]}")
    try:
        return args.command(args)
    except UserError as error:
        return _stopped(args, 2, str(error))
    except ModuleNotFoundError as error:
        return _stopped(args, 2, f"the package {error.name!r} is missing; README.md says which extra brings it")
    except Interrupted as stop:
        return _stopped(args, 128 + stop.signal, f"{stop}; everything is saved, --resume continues")
    except KeyboardInterrupt:
        return _stopped(args, 130, "interrupted; --resume continues from the newest checkpoint")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _stopped(args, code: int, reason: str) -> int:
    """Of many processes that stop for one reason, the first says it."""
    if args.speaks:
        print(f"panorax: {reason}", file=sys.stderr)
    return code


def _dashed(arg: str) -> str:
    """`--init_from` is `--init-from`, as it is in the options of a config."""
    name, equals, value = arg.partition("=")
    return name.replace("_", "-") + equals + value if arg.startswith("--") else arg


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        print(f"panorax: {message}; `{self.prog} --help` says more", file=sys.stderr)
        sys.exit(2)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="panorax", description="The AI stack as pure functions in JAX.", allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    def add(name, command, text, **options):
        sub = commands.add_parser(name, help=text, description=text, allow_abbrev=False, **options)
        sub.set_defaults(command=command)
        return sub

    sub = add("list", list_systems, "every system, with its configs and how its claims stand")
    sub.add_argument("--json", action="store_true", help="as JSON")
    sub = add("show", show, "one system: paper, parts, config, claims with measured values, oracle, files")
    sub.add_argument("system")
    sub = add("run", run, "run a system or a config file; --help after its name lists every option", add_help=False)
    sub.add_argument("system", nargs="?")
    sub.add_argument("--smoke", action="store_true", help="the smallest size, in seconds")
    sub.add_argument("--workdir", type=Path, help="directory of the run (default runs/NAME/TIME)")
    sub.add_argument("--resume", action="store_true", help="continue the run in --workdir, or the newest of this system")
    sub.add_argument("--init-from", type=Path, help="Hugging Face folder whose model, weights and tokenizer a language model starts from")
    sub.add_argument("--record", action="store_true", help="write the result beside the config, for the catalogue")
    sub.add_argument("--mesh", default="", help="devices to spread over, such as data=2,fsdp=2")
    sub.add_argument("--distributed", action="store_true", help="one of the processes that a launcher started: join the others")
    sub = add("generate", generate, "text from a trained language model: a run, or a Hugging Face folder")
    source = sub.add_mutually_exclusive_group(required=True)
    source.add_argument("--workdir", type=Path, help="directory of a run")
    source.add_argument("--model", type=Path, help="Hugging Face folder: config.json, safetensors, tokenizer.json")
    sub.add_argument("--prompt", action="append", default=[], help="text to continue; may be given several times")
    sub.add_argument("--prompt-file", action="append", default=[], type=Path, help="a text to continue, or .jsonl with a prompt or messages a line")
    sub.add_argument("--chat", action="store_true", help="prompts are what a user says: use the model's chat template")
    sub.add_argument("--system", help="instruction before what the user says")
    sub.add_argument("--tokens", type=int, default=200, help="new tokens at most")
    sub.add_argument("--batch", type=int, default=8, help="prompts at a time")
    for name, kind, text in (("temperature", float, "0 is greedy"), ("top-k", int, "0 for all"), ("top-p", float, ""), ("min-p", float, "")):
        sub.add_argument(f"--{name}", type=kind, help=f"{text + '; ' if text else ''}default: what the model's folder says, or the config of the run")
    sub.add_argument("--dtype", choices=("float32", "bfloat16"), help="of a folder's parameters and activations; default: that of its files")
    sub.add_argument("--mesh", default="", help="devices to spread a folder's model over, such as tensor=4")
    sub.add_argument("--seed", type=int, default=0)
    sub = add("export", export, "the language model of a run as a Hugging Face folder")
    sub.add_argument("--workdir", type=Path, required=True, help="directory of the run")
    sub.add_argument("--to", type=Path, required=True, help="the folder to write")
    sub.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    sub = add("plan", plan, "memory and time that a system needs on a cluster, from its shapes; takes the options of run too")
    sub.add_argument("system")
    sub.add_argument("--devices", type=int, default=1)
    sub.add_argument("--mesh", default="", help="how they are used, such as fsdp=8,tensor=8 (default fsdp=DEVICES)")
    sub.add_argument("--chip", default="h200", help="a100, h100, h200, tpu-v4, tpu-v5e, tpu-v5p or tpu-v6e")
    sub.add_argument("--memory", help="of a device, such as 80GB (default that of the chip)")
    sub.add_argument("--utilisation", type=float, default=0.4, help="share of the chip's peak that a step reaches")
    sub.add_argument("--json", action="store_true", help="as JSON")
    sub = add("bench", bench, "Panorax beside what people would use instead, or the training step of a system; alone it lists the comparisons")
    sub.add_argument("system", nargs="?", metavar="NAME", help="a comparison such as bench/training, or a system or config whose step is timed")
    sub.add_argument("--smoke", action="store_true", help="the smallest size of a system, the quick part of a comparison")
    sub.add_argument("--repeats", type=int, default=5, help="chunks of a system timed")
    sub.add_argument("--record", action="store_true", help="write the result of a comparison beside its config")
    sub.add_argument("--check", action="store_true", help="rerun the quick part of every comparison; fail where a recorded ratio dropped by more than a quarter")
    sub.add_argument("--json", type=Path, help="write the numbers there")
    return parser


def result_of(name: str) -> dict | None:
    """The recorded result of a config, `None` if it has not been measured."""
    path = Path(importlib.import_module("panorax.configs").__path__[0], name + ".json")
    return json.loads(path.read_text()) if path.is_file() else None


def list_systems(args) -> int:
    rows = []
    for entry in CATALOGUE:
        verdicts = [v for name in entry.configs for v in (result_of(name) or {}).get("claims", ())]
        rows.append({"id": entry.id, "title": entry.title, "configs": entry.configs, "claims": len(verdicts), "kept": sum(v["kept"] for v in verdicts)})
    if args.json:
        print(json.dumps(rows, indent=2))
        return 0
    width = max(len(row["id"]) for row in rows)
    for row in rows:
        print(f"{row['id']:{width}}  {row['title']}\n{'':{width}}  configs {', '.join(row['configs'])}; claims kept {row['kept']}/{row['claims']}")
    return 0


def show(args) -> int:
    from panorax.core.claims import Verdict

    entry = entry_of(args.system)
    if entry is None:
        names = (*(e.id for e in CATALOGUE), *CONFIGS)
        raise UserError(f"unknown system {args.system!r}{config.nearest(args.system, names)}; `panorax list` shows all")
    name = args.system if args.system in entry.configs else entry.configs[0]
    module = config.load(name, CONFIGS)
    recorded = result_of(name) or {}
    print(f"{entry.title}\n  paper    {entry.paper}\n  module   {entry.module}\n  parts    {', '.join(entry.parts)}")
    print(f"  oracle   {entry.oracle}\n  tests    {', '.join(entry.tests)}\n  configs  {', '.join(entry.configs)}\n\nconfig {name}")
    for option, value in config.leaves(module.get_config()).items():
        print(f"  --{option} {value}")
    print("\nclaims")
    claims = [Verdict(**v) for v in recorded.get("claims", ())] or [claim.check({}) for claim in getattr(module, "CLAIMS", ())]
    for verdict in claims:
        print(f"  {verdict}")
    if recorded:
        where = {k: recorded[k] for k in ("commit", "device", "date", "wall_seconds", "seed")}
        print("  measured: " + ", ".join(f"{k} {v}" for k, v in where.items()))
    return 0


def _config(args):
    """(name, config module, config) of the arguments of `run` and `bench`."""
    entry = entry_of(args.system)
    name = entry.configs[0] if entry and args.system == entry.id else args.system
    module = config.load(name, CONFIGS)
    if args.smoke and not hasattr(module, "smoke"):
        raise UserError(f"config {name} has no smoke()")
    return name, module, module.smoke() if args.smoke else module.get_config()


def _start_jax(devices: int = 1) -> None:
    """Compiled programs are kept between processes; the storage below checkpoints logs what it raises anyway, and is told not to.

    A CPU counts as one device unless told otherwise: more are asked of it here, where its user has not said how many it shall be.
    """
    import jax

    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)

    jax.config.update("jax_compilation_cache_dir", os.environ.get("JAX_COMPILATION_CACHE_DIR") or str(config.cache_dir() / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    said = jax.config.jax_num_cpu_devices > 0 or "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if devices > 1 and not said:
        jax.config.update("jax_num_cpu_devices", min(devices, 1024))  # a mesh of more is refused with what there is


def run(args) -> int:
    if args.system is None:
        known = "\n  ".join(CONFIGS)
        print(f"usage: panorax run CONFIG|FILE.py [--smoke] [--workdir DIR] [--resume] [--record] [--mesh data=N,fsdp=N] [--distributed] [OPTIONS]\n\n"
              f"`panorax run CONFIG --help` lists its options. Configs:\n  {known}")  # fmt: skip
        return 0 if {"--help", "-h"} & {*args.overrides} else 2
    from panorax import run as runs
    from panorax.core import processes
    from panorax.core.claims import Verdict
    from panorax.parallel.sharding import mesh_sizes

    name, module, cfg = _config(args)
    if args.init_from:
        from panorax.interop import huggingface

        cfg = huggingface.started_from(cfg, args.init_from)
    cfg = config.override(cfg, args.overrides, f"panorax run {name}")
    if args.init_from:
        huggingface.refuse_another_model(cfg, args.init_from)
    if args.record and args.smoke:
        raise UserError("a smoke run is not recorded: its numbers say nothing")
    _start_jax(1 if args.distributed else max(getattr(cfg, "devices", 1), math.prod(mesh_sizes(args.mesh).values())))
    if args.distributed:
        processes.join()
        args.speaks = processes.is_first()
    choose = runs.newest_directory if args.resume else runs.default_directory
    directory = args.workdir or Path(processes.first(lambda: str(choose(name))))
    record = runs.run(name, module, cfg, directory, args.resume, args.mesh)
    if not args.speaks:
        return 0
    print(f"\n{name}: {record['wall_seconds']} s, {record['compile_seconds']} s of it compiling; everything is in {directory}")
    for file in sorted(directory.glob("samples*.txt")):
        print(file.read_text())
    for verdict in record["claims"]:
        print(Verdict(**verdict))
    if args.record:
        _record(record, Path(module.__file__).with_suffix(".json"))
    return 0


def _record(record: dict, path: Path) -> None:
    path.write_text(json.dumps(record, indent=2) + "\n")
    print(f"recorded in {path}")


def generate(args) -> int:
    from panorax.lm import writing
    from panorax.parallel.sharding import mesh_sizes

    if args.workdir and (args.mesh or args.dtype):
        raise UserError("--mesh and --dtype are for a --model; a run is read as it was written, on one device")
    _start_jax(math.prod(mesh_sizes(args.mesh).values()))
    params, cfg, tokenizer, sampling = (_of_run if args.workdir else _of_folder)(args)
    said = {name: getattr(args, name) for name in ("temperature", "top_k", "top_p", "min_p") if getattr(args, name) is not None}
    sampling = dataclasses.replace(sampling, **said)
    asked = writing.prompts(args.prompt, args.prompt_file, tokenizer, args.chat or args.system is not None, args.system)
    if not asked or args.batch < 1 or not 0 <= args.seed < 2**31:
        raise UserError("give a --prompt or a --prompt-file, a --batch of at least 1, and a --seed from 0 to below 2^31")
    writing.write(params, asked, tokenizer, new=args.tokens, batch=args.batch, cfg=cfg, sampling=sampling, seed=args.seed)
    return 0


def _of_run(args):
    """Parameters, model, tokenizer and sampling of a run of the language model."""
    from panorax import run as runs
    from panorax.lm import tokenizer

    cfg = runs.config_of(args.workdir)
    if config.module_of(cfg).__name__ != "panorax.lm.llama":
        raise UserError(f"{args.workdir} is a run of {config.module_of(cfg).__name__}; one of panorax.lm.llama is needed")
    params = runs.restore(args.workdir, config.module_of(cfg).system(cfg).init_state).params
    return params, cfg.model, tokenizer.from_json((args.workdir / "tokenizer.json").read_text()), cfg.sampling


def _of_folder(args):
    """Parameters, model, tokenizer and sampling of a Hugging Face folder."""
    from panorax.interop import hf_text, hf_weights, huggingface
    from panorax.nets import decoder
    from panorax.parallel.sharding import make_mesh, parameter_shardings

    cfg, tokenizer = huggingface.model(args.model), hf_text.tokenizer(args.model)
    params = hf_weights.load(args.model, cfg, parameter_shardings(decoder.spec(cfg), make_mesh(args.mesh)), args.dtype)
    return params, dataclasses.replace(cfg, dtype="bfloat16" if params["embed"].dtype == "bfloat16" else "float32"), tokenizer, hf_text.sampling(args.model)


def export(args) -> int:
    from panorax import run as runs
    from panorax.interop import huggingface

    _start_jax()
    params, model, tokenizer, _ = _of_run(args)
    huggingface.save(args.to, params, model, tokenizer, runs.config_of(args.workdir).context, args.dtype)
    print(f"written to {args.to}")
    return 0


def plan(args) -> int:
    from panorax import plan as plans

    args.smoke = False
    name, _, cfg = _config(args)
    cfg = config.override(cfg, args.overrides, f"panorax plan {name}")
    implementation = config.module_of(cfg)
    if not hasattr(implementation, "system"):
        raise UserError(f"{name} is a study: it has no training step to plan")
    if args.chip not in plans.CHIPS or args.devices < 1 or not 0 < args.utilisation <= 1:
        raise UserError(f"--chip is one of {', '.join(plans.CHIPS)}, --devices at least 1, --utilisation above 0 and at most 1")
    said = plans.report(name, implementation.system(cfg), cfg, args.devices, args.mesh, args.chip, _bytes(args.memory), args.utilisation)
    print(json.dumps(said, indent=2) if args.json else plans.shown(said))
    return 0


def _bytes(text: str | None) -> float | None:
    """80GB, 24GiB or a number of bytes."""
    units = {"GB": 1e9, "GiB": 2**30, "MB": 1e6, "MiB": 2**20, "TB": 1e12, "B": 1, "": 1}
    if text is None:
        return None
    number = text.rstrip("BGMTi")
    try:
        return float(number) * units[text[len(number) :]]
    except (KeyError, ValueError):
        raise UserError(f"--memory {text} is no size: give one such as 80GB or 24GiB") from None


def bench(args) -> int:
    from panorax.bench import comparison
    from panorax.bench.step import bench_step

    if args.check:
        return _bench_check(comparison)
    if args.system is None:
        for name in (*comparison.BENCHMARKS, *comparison.GPU_BENCHMARKS):
            print(f"{name}  {comparison.load(name).__doc__.splitlines()[0]}")
        return 0
    if args.system in (*comparison.BENCHMARKS, *comparison.GPU_BENCHMARKS):
        return _bench_comparison(args, comparison)
    if args.record:
        raise UserError(f"--record is for comparisons: {', '.join(comparison.BENCHMARKS)}")
    _start_jax()
    name, _, cfg = _config(args)
    implementation = config.module_of(cfg)
    if not hasattr(implementation, "system"):
        raise UserError(f"{name} is a study: it has no training step to time")
    record = bench_step(name, implementation.system(cfg), cfg.run, args.repeats)
    print(json.dumps(record, indent=2))
    if args.json:
        args.json.write_text(json.dumps(record, indent=2) + "\n")
    return 0


def _bench_comparison(args, comparison) -> int:
    from panorax.core.claims import Verdict

    if args.record and args.smoke:
        raise UserError("the quick part of a comparison is not recorded: it leaves some claims unmeasured")
    module = comparison.load(args.system)
    shown, record = comparison.measure(args.system, module, module.quick() if args.smoke else module.get_config())
    print(shown, *(Verdict(**verdict) for verdict in record["claims"]), sep="\n")
    if args.json:
        args.json.write_text(json.dumps(record, indent=2) + "\n")
    if args.record:
        _record(record, Path(module.__file__).with_suffix(".json"))
    return 0


def _bench_check(comparison) -> int:
    """1 where a recorded ratio is lost."""
    lost = []
    for name in comparison.BENCHMARKS:
        module, recorded = comparison.load(name), result_of(name)
        if recorded is None:
            raise UserError(f"{name} has no recorded result to check against; `panorax bench {name} --record` makes one")
        shown, record = comparison.measure(name, module, module.quick())
        print(shown)
        lost += comparison.dropped(record, recorded)
    print(*(lost or ["no recorded ratio has dropped by more than a quarter"]), sep="\n")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
