"""Parts that commands share: loading a config, starting JAX, and recording a result."""

import argparse
import dataclasses
import importlib
import logging
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

from panorax import catalogue
from panorax.core import config, files
from panorax.core.errors import UserError


def path(name: str) -> Path:
    """The path that an argument names. Raises ArgumentTypeError for an empty name.

    A leading `~` is the home folder, also in `--workdir=~/a`, where shells leave it.
    """
    if not name:
        raise argparse.ArgumentTypeError("the name is empty")
    return Path(name).expanduser()


def load(name: str, smoke: bool = False) -> tuple[str, ModuleType, object]:
    """Returns (name, config module, config) of a catalogue entry or of a user's Python file.

    Raises UserError for an unknown name, a file that fails, or a missing smoke size.
    """
    if name.endswith(".py"):
        module = config.load_file(Path(name))
    else:
        entry = catalogue.find(name)
        name, module = entry.name, imported(entry)
    if smoke and not hasattr(module, "smoke"):
        raise UserError(f"config {name} has no smoke()")
    function = module.smoke if smoke else module.get_config
    with config.failures(f"{function.__name__}() of {name}", Path(module.__file__)):
        cfg = function()
    _refuse_what_no_command_can_run(f"{function.__name__}() of {name}", cfg)
    return name, module, cfg


def _refuse_what_no_command_can_run(what: str, cfg) -> None:
    """Raises UserError unless `cfg` is the Config of a system or a study."""
    if not (dataclasses.is_dataclass(cfg) and cfg.__dataclass_params__.frozen):
        raise UserError(f"{what} returns {type(cfg).__name__}, which is no frozen dataclass")
    try:
        hash(cfg)
    except TypeError as error:
        raise UserError(f"{what} returns a Config that is not hashable: {error}") from error
    module = config.module_of(cfg)
    needed = {"system": "run", "study": "seed"}
    kinds = [kind for kind in needed if hasattr(module, kind)]
    if not kinds:
        raise UserError(f"{what} returns a Config whose module has neither system nor study")
    if not hasattr(cfg, needed[kinds[-1]]):
        raise UserError(f"{what} returns the Config of a {kinds[-1]} without {needed[kinds[-1]]}")


def imported(entry: catalogue.Entry) -> ModuleType:
    """The config module of an entry. Raises UserError if a module of another package fails."""
    try:
        return importlib.import_module(entry.config)
    except Exception as error:  # another package can fail in any way
        if entry.is_own:
            raise
        raise UserError(f"{entry.config} fails: {type(error).__name__}: {error}") from error


def configured(args, name: str, cfg):
    """`cfg` with the options of the config that the command line holds besides its own flags.

    `--help` prints both and exits.
    """
    if args.help:
        options = config.options_text(cfg, args.overrides)
        print(f"{args.parser.format_help()}\noptions of {name}:\n\n{options}")
        sys.exit(0)
    return config.override(cfg, args.overrides, f"{args.parser.prog} {name}", flags(args.parser))


def flags(parser: argparse.ArgumentParser) -> tuple[str, ...]:
    """The options of a command, such as `--workdir`."""
    return tuple(name for name in parser._option_string_actions if name.startswith("--"))


def trainable(name: str, cfg, purpose: str) -> ModuleType:
    """The module of the system of `cfg`.

    Raises UserError for a study, which has no training step to `purpose`, such as "plan".
    """
    implementation = config.module_of(cfg)
    if not hasattr(implementation, "system"):
        raise UserError(f"{name} is a study: it has no training step to {purpose}")
    return implementation


def name_ignored(folder: Path, keys: list[str]) -> None:
    """Prints the keys of a Hugging Face folder's config.json that are ignored."""
    if keys:
        print(f"panorax: {folder}/config.json: ignored {', '.join(keys)}", file=sys.stderr)


def start_jax(devices: int = 1, joins: bool = False) -> None:
    """Caches compiled programs across processes, and splits a CPU into `devices` devices.

    If the user has set a number of CPU devices, that number is kept. Raises UserError if jax finds
    no device, unless the process `joins` others, before which it may not look for devices.
    """
    import jax

    # Errors of checkpoint storage are raised anyway, and NaN in metrics is reported by training.
    for name in ("absl", "asyncio", "tensorboardX"):
        logging.getLogger(name).setLevel(logging.CRITICAL)

    jax.config.update("jax_compilation_cache_dir", _cache())
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    chosen = (
        jax.config.jax_num_cpu_devices > 0
        or "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    )
    if devices > 1 and not chosen:
        # A larger mesh is rejected later, by an error that states the number of devices.
        jax.config.update("jax_num_cpu_devices", min(devices, 1024))
    if not joins:
        _check_platform()


def _cache() -> str | None:
    """The folder or address of cached programs; None, with a line on stderr, if it is read-only."""
    cache = os.environ.get("JAX_COMPILATION_CACHE_DIR") or str(config.cache_dir() / "xla")
    if "://" in cache:
        return cache
    try:
        Path(cache).mkdir(parents=True, exist_ok=True)
        if os.access(cache, os.W_OK):
            return cache
        reason = "no permission to write"
    except OSError as error:
        reason = error.strerror
    print(f"panorax: compiled programs are not cached in {cache}: {reason}", file=sys.stderr)
    return None


def _check_platform() -> None:
    """Raises UserError if this machine does not have the devices that JAX_PLATFORMS names."""
    import jax

    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # jax raises both, the latter without message
        raise UserError(
            f"JAX_PLATFORMS={os.environ.get('JAX_PLATFORMS', '')}: jax finds no such device; unset "
            "it to use what this machine has"
        ) from error


def check_recordable(path: Path) -> None:
    """Raises UserError if the config file `path` belongs to an installed package."""
    installed = [sysconfig.get_path(name) for name in ("purelib", "platlib")]
    if any(path.resolve().is_relative_to(Path(folder).resolve()) for folder in installed):
        raise UserError(
            f"--record writes beside {path}, which belongs to an installed package; "
            "install the package from its source tree (pip install -e)"
        )


def record(result: dict, path: Path, pictures: Path | None = None) -> None:
    """Writes a result beside its config, with small copies of the PNG files in `pictures`."""
    for old in path.parent.glob(f"{path.stem}-*.png"):
        old.unlink()
    for picture in sorted(pictures.glob("*.png")) if pictures else ():
        small_copy(picture, path.with_name(f"{path.stem}-{picture.stem}.png"))
    write(result, path)


def write(result: dict, path: Path) -> None:
    """Writes a result beside its config.

    In the source tree of Panorax it also rewrites the pages that show records.
    """
    path.write_text(files.as_json(result, indent=2) + "\n")
    print(f"recorded in {path}")
    root = catalogue.root()
    if path.is_relative_to(root) and (root.parent / "README.md").is_file():
        subprocess.run([sys.executable, "-m", "panorax.readme"], check=True)


def small_copy(picture: Path, to: Path, most: int = 95_000) -> None:
    """Writes a PNG of 64 colours and at most 900 pixels width, narrowed to at most `most` bytes."""
    from PIL import Image

    width, image = 900, Image.open(picture).convert("RGB")
    while True:
        shrunk = image.copy()
        shrunk.thumbnail((width, 4 * width))
        shrunk.quantize(64, Image.Quantize.MAXCOVERAGE).save(to, optimize=True)  # keeps small dots
        if to.stat().st_size <= most:
            return
        width = int(0.8 * width)
