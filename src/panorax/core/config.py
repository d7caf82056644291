"""Typed configs: frozen, nested, hashable dataclasses, found by name, overridden leaf by leaf, kept as JSON."""

import contextlib
import dataclasses
import functools
import importlib
import importlib.util
import io
import json
import os
import re
import sys
import typing
from pathlib import Path
from types import ModuleType
from typing import Literal

import panorax
from panorax.core.errors import UserError
from panorax.core.names import nearest
from panorax.core.ranges import Count, Whole, check


@dataclasses.dataclass(frozen=True)
class Run:
    """How long a system trains, and how often it is looked at. Every Config of a trained system has one as `run`."""

    steps: Count = 1000
    """training steps in all"""
    chunk: Count = 10
    """steps per compiled call; metrics are averaged over a chunk"""
    eval_every: Whole = 0
    """steps between evaluations, 0 for one at the end"""
    save_every: Whole = 0
    """steps between checkpoints, 0 for one at the end"""
    keep: Count = 2
    """newest checkpoints kept"""
    on_nan: Literal["stop", "skip"] = "stop"
    """a step whose loss or gradient is not finite ends the run, or is dropped and counted"""
    max_skipped: Whole = 10
    """steps dropped before the run ends all the same"""
    seed: Whole = 0
    """everything random derives from it"""


def module_of(cfg) -> ModuleType:
    """The module that defines the type of `cfg`: a config names its own implementation, so nothing has to look it up."""
    return sys.modules[type(cfg).__module__]


def load_file(path: Path) -> ModuleType:
    """The module of a user's config file. Raises UserError for a file that fails or has no get_config()."""
    if not path.is_file():
        raise UserError(f"config file {path} does not exist")
    spec = importlib.util.spec_from_file_location(f"config_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    if (
        str(path.parent.absolute()) not in sys.path
    ):  # so that the file can import a system that lies beside it
        sys.path.insert(0, str(path.parent.absolute()))
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a user's file can fail in any way; the line says which
        raise UserError(f"config file {path} fails: {type(error).__name__}: {error}") from error
    if not callable(getattr(module, "get_config", None)):
        raise UserError(f"config file {path} has no get_config() that returns a Config")
    return module


def leaves(cfg, prefix: str = "") -> dict[str, object]:
    """Every leaf of a config by its option name: `{"model.n-layers": 4, ...}`."""
    found = {}
    for f in dataclasses.fields(cfg):
        value, name = getattr(cfg, f.name), prefix + f.name.replace("_", "-")
        found.update(
            leaves(value, name + ".") if dataclasses.is_dataclass(value) else {name: value}
        )
    return found


def override(cfg, args: list[str], prog: str = "panorax run"):
    """`cfg` with the typed overrides in `args` (`--model.n-layers 4`); `--help` lists every leaf and exits.

    Raises UserError for an unknown option (naming the nearest), a wrong type or a missing value.
    """
    import tyro

    cfg, args = choose(cfg, args)
    names = tuple("--" + name for name in (*leaves(cfg), *choices(type(cfg))))
    for arg in args:
        option = arg.split("=")[0].replace("_", "-")
        if arg.startswith("--") and arg != "--help" and option not in names:
            raise UserError(
                f"unknown option {option}{nearest(option, names)}; `{prog} --help` lists all"
            )
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsed = tyro.cli(
                _as_it_is(cfg),
                default=_recast(cfg, _as_it_is(cfg)),
                args=args,
                prog=prog,
                description=_choices_text(cfg),
                config=(tyro.conf.FlagConversionOff,),
            )
            parsed = _recast(parsed, type(cfg))
            check(parsed)
            return parsed
    except SystemExit as stop:
        if stop.code == 0:
            raise
        raise UserError(_first_sentence(said.getvalue())) from None
    except ValueError as error:  # raised by a config's own __post_init__
        raise UserError(str(error)) from error


def choices(kind: type) -> dict[str, dict[str, type]]:
    """The parts that a config may choose, `{"optim": {"adamw": AdamW, "sgd": SGD, ...}, ...}`: fields typed as one of several dataclasses."""
    found = {}
    for name, hint in typing.get_type_hints(kind).items():
        kinds = [k for k in typing.get_args(hint) if dataclasses.is_dataclass(k)]
        if len(kinds) > 1:
            found[name.replace("_", "-")] = {_part_name(k): k for k in kinds}
    return found


def _part_name(kind: type) -> str:
    """`adamw` for a type AdamW; the name of the module for a type that is called Config or Model, `dit` for panorax.nets.dit:Config."""
    name = (
        kind.__module__.rpartition(".")[2]
        if kind.__name__ in ("Config", "Model")
        else kind.__name__
    )
    return name.lower().replace("_", "-")


def choose(cfg, args: list[str]) -> tuple[object, list[str]]:
    """`cfg` with the parts that `--optim muon` or `--net=unet` name, at their defaults, and the arguments that are left.

    A part that the config already holds keeps its values. Raises UserError for a part that is not one of the choices.
    """
    kinds, left, rest = choices(type(cfg)), [], iter(args)
    for arg in rest:
        option, equals, value = arg.removeprefix("--").partition("=")
        if not arg.startswith("--") or option not in kinds:
            left.append(arg)
            continue
        value = value if equals else next(rest, "")
        if value not in kinds[option]:
            raise UserError(
                f"--{option} is one of {', '.join(kinds[option])}, got {value!r}{nearest(value, kinds[option])}"
            )
        field = option.replace("-", "_")
        if type(getattr(cfg, field)) is not kinds[option][value]:
            cfg = dataclasses.replace(cfg, **{field: kinds[option][value]()})
    return cfg, left


def _choices_text(cfg) -> str:
    lines = [
        f"--{name} {'|'.join(kinds)} (now {_part_name(type(getattr(cfg, name.replace('-', '_'))))})"
        for name, kinds in choices(type(cfg)).items()
    ]
    return "Parts: " + "; ".join(lines) if lines else ""


@functools.cache
def _as_it_is(cfg) -> type:
    """The type of `cfg` with each nested config's field typed as what it holds, where its declared type is a choice of several."""
    held = [
        (f.name, type(getattr(cfg, f.name)))
        for f in dataclasses.fields(cfg)
        if dataclasses.is_dataclass(getattr(cfg, f.name))
    ]
    return dataclasses.make_dataclass(
        type(cfg).__name__,
        held,
        bases=(type(cfg),),
        frozen=True,
        namespace={"__module__": type(cfg).__module__},
    )


def _recast(cfg, kind: type):
    return kind(**{f.name: getattr(cfg, f.name) for f in dataclasses.fields(cfg)})


def _first_sentence(box: str) -> str:
    """The message inside the box that tyro draws around an error, as one line."""
    lines = [line.strip("│ \n") for line in box.splitlines()[1:]]
    message = []
    for line in lines:
        if line.startswith(("─", "╰")):
            break
        message.append(line)
    return re.sub(r"^-+ Error parsing \w+: |-{9,}", "", " ".join(message)).strip() or "bad options"


def to_json(cfg) -> str:
    """A config as JSON text with the version of panorax; every dataclass carries its type, so that `from_json` restores it."""

    def encode(value):
        if dataclasses.is_dataclass(value):
            kind = f"{type(value).__module__}:{type(value).__qualname__}"
            return {"type": kind} | {
                f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)
            }
        return [encode(v) for v in value] if isinstance(value, tuple) else value

    return json.dumps({"panorax": panorax.__version__} | encode(cfg), indent=2) + "\n"


def from_json(text: str):
    """The config that `to_json` wrote. Raises UserError for any other text, naming the version that wrote it."""

    def decode(value):
        if isinstance(value, dict):
            module, _, name = value["type"].partition(":")
            if module not in sys.modules and not module.startswith("panorax."):
                raise ImportError(f"configs come from panorax, not from {module}")
            kind = getattr(importlib.import_module(module), name)
            if not dataclasses.is_dataclass(kind):
                raise TypeError(f"{value['type']} is no config")
            return kind(**{k: decode(v) for k, v in value.items() if k != "type"})
        return tuple(decode(v) for v in value) if isinstance(value, list) else value

    version = None
    try:
        stored = json.loads(text)
        version = stored.pop("panorax", "0.1")
        return decode(stored)
    except (KeyError, TypeError, ValueError, ImportError, AttributeError) as error:
        writer = f"was written by panorax {version}" if version else "is damaged"
        raise UserError(
            f"the config {writer}; panorax {panorax.__version__} cannot read it: {type(error).__name__}: {error}"
        ) from error


def cache_dir() -> Path:
    """Where compiled programs are kept between runs: `$PANORAX_CACHE`, or `panorax` in the user's cache folder."""
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("PANORAX_CACHE") or user / "panorax")
