"""What several commands share: the config that the command line names, and JAX started for it."""

import importlib
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

from panorax import catalogue
from panorax.core import config
from panorax.core.errors import UserError


def load(name: str, smoke: bool = False) -> tuple[str, ModuleType, object]:
    """(name, config module, config) of an entry of the catalogue, or of a user's Python file.

    Raises UserError for a name that is unknown, a file that fails, and a smoke size that the file does not have.
    """
    if name.endswith(".py"):
        module = config.load_file(Path(name))
    else:
        name = catalogue.find(name).name
        module = importlib.import_module("panorax.configs." + name.replace("/", "."))
    if smoke and not hasattr(module, "smoke"):
        raise UserError(f"config {name} has no smoke()")
    return name, module, module.smoke() if smoke else module.get_config()


def trainable(name: str, cfg, purpose: str) -> ModuleType:
    """The module of the system of `cfg`. Raises UserError for a study, which has no training step to `purpose`."""
    implementation = config.module_of(cfg)
    if not hasattr(implementation, "system"):
        raise UserError(f"{name} is a study: it has no training step to {purpose}")
    return implementation


def start_jax(devices: int = 1) -> None:
    """Keep compiled programs between processes, and silence the storage below checkpoints, whose errors are raised.

    A CPU counts as one device by default. Where the user has not set a number of CPU devices, `devices` are made.
    """
    import jax

    for name in ("absl", "asyncio"):
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
        jax.config.update(
            "jax_num_cpu_devices", min(devices, 1024)
        )  # a mesh of more is refused with what there is


def record(result: dict, path: Path, pictures: Path | None = None) -> None:
    """Write a result beside its config, with small copies of the PNG files in the folder `pictures`.

    In a source tree the pages that show records are written anew.
    """
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(f"recorded in {path}")
    for old in path.parent.glob(f"{path.stem}-*.png"):
        old.unlink()
    for picture in sorted(pictures.glob("*.png")) if pictures else ():
        small_copy(picture, path.with_name(f"{path.stem}-{picture.stem}.png"))
    if (path.parents[2] / "README.md").is_file():
        subprocess.run([sys.executable, "-m", "panorax.readme"], check=True)


def small_copy(picture: Path, to: Path, most: int = 95_000) -> None:
    """A PNG with 64 colours and at most 900 pixels of width, made narrower until it has at most `most` bytes."""
    from PIL import Image

    width, image = 900, Image.open(picture).convert("RGB")
    while True:
        shrunk = image.copy()
        shrunk.thumbnail((width, 4 * width))
        shrunk.quantize(64).save(to, optimize=True)
        if to.stat().st_size <= most:
            return
        width = int(0.8 * width)
