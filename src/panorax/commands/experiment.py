"""Parts that commands share: loading a config, starting JAX, and recording a result."""

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


def load(name: str, smoke: bool = False) -> tuple[str, ModuleType, object]:
    """Returns (name, config module, config) of a catalogue entry or of a user's Python file.

    Raises UserError for an unknown name, a file that fails, or a missing smoke size.
    """
    if name.endswith(".py"):
        module = config.load_file(Path(name))
    else:
        entry = catalogue.find(name)
        name, module = entry.name, _imported(entry)
    if smoke and not hasattr(module, "smoke"):
        raise UserError(f"config {name} has no smoke()")
    return name, module, module.smoke() if smoke else module.get_config()


def _imported(entry: catalogue.Entry) -> ModuleType:
    """The config module of an entry. Raises UserError if a module of another package fails."""
    try:
        return importlib.import_module(entry.config)
    except Exception as error:  # another package can fail in any way
        if entry.is_own:
            raise
        raise UserError(f"{entry.config} fails: {type(error).__name__}: {error}") from error


def trainable(name: str, cfg, purpose: str) -> ModuleType:
    """The module of the system of `cfg`.

    Raises UserError for a study, which has no training step to `purpose`, such as "plan".
    """
    implementation = config.module_of(cfg)
    if not hasattr(implementation, "system"):
        raise UserError(f"{name} is a study: it has no training step to {purpose}")
    return implementation


def start_jax(devices: int = 1, joins: bool = False) -> None:
    """Caches compiled programs across processes, and splits a CPU into `devices` devices.

    If the user has set a number of CPU devices, that number is kept. Raises UserError if jax finds
    no device, unless the process `joins` others, before which it may not look for devices.
    """
    import jax

    for name in ("absl", "asyncio"):  # logs of checkpoint storage, whose errors are raised anyway
        logging.getLogger(name).setLevel(logging.CRITICAL)

    jax.config.update(
        "jax_compilation_cache_dir",
        os.environ.get("JAX_COMPILATION_CACHE_DIR") or str(config.cache_dir() / "xla"),
    )
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
    """Writes a result beside its config, with small copies of the PNG files in `pictures`.

    In the source tree of Panorax it also rewrites the pages that show records.
    """
    path.write_text(files.as_json(result, indent=2) + "\n")
    print(f"recorded in {path}")
    for old in path.parent.glob(f"{path.stem}-*.png"):
        old.unlink()
    for picture in sorted(pictures.glob("*.png")) if pictures else ():
        small_copy(picture, path.with_name(f"{path.stem}-{picture.stem}.png"))
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
        shrunk.quantize(64).save(to, optimize=True)
        if to.stat().st_size <= most:
            return
        width = int(0.8 * width)
