"""Typed configs: frozen, nested, hashable dataclasses with options and a JSON form."""

import contextlib
import dataclasses
import functools
import importlib
import importlib.metadata
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
from panorax.core.ranges import Count, Whole, check, checked

GROUP = "panorax.configs"  # entry points of packages that add volumes


@checked
class Run:
    """Length of a run and its schedule of evaluations and checkpoints.

    Every Config of a trained system has one as `run`.
    """

    steps: Count = 1000
    """number of training steps"""
    chunk: Count = 10
    """number of steps per compiled call, over which metrics are averaged"""
    eval_every: Whole = 0
    """steps between evaluations; 0 evaluates once, at the end"""
    save_every: Whole = 0
    """steps between checkpoints; 0 saves once, at the end"""
    keep: Count = 2
    """number of newest checkpoints to keep"""
    on_nan: Literal["stop", "skip"] = "stop"
    """action if the loss or gradient is not finite: stop the run, or skip and count the step"""
    max_skipped: Whole = 10
    """largest number of skipped steps; one more, or a chunk without a finite step, stops the run"""
    seed: Whole = 0
    """seed of all random numbers"""


def module_of(cfg) -> ModuleType:
    """The module that defines the type of `cfg` and implements what `cfg` configures."""
    return sys.modules[type(cfg).__module__]


def load_file(path: Path) -> ModuleType:
    """The module of a user's config file, which may import modules beside it.

    Raises UserError if the file does not exist, fails, or has no get_config().
    """
    if not path.is_file():
        raise UserError(f"config file {path} does not exist")
    spec = importlib.util.spec_from_file_location(f"config_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    folder = str(path.parent.absolute())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a user's file can fail in any way
        raise UserError(f"config file {path} fails: {type(error).__name__}: {error}") from error
    if not callable(getattr(module, "get_config", None)):
        raise UserError(f"config file {path} has no get_config() that returns a Config")
    return module


def leaves(cfg, prefix: str = "") -> dict[str, object]:
    """Every leaf of a config by its option name: `{"model.n-layers": 4, ...}`."""
    values = {}
    for f in dataclasses.fields(cfg):
        value, name = getattr(cfg, f.name), prefix + f.name.replace("_", "-")
        if dataclasses.is_dataclass(value):
            values |= leaves(value, name + ".")
        else:
            values[name] = value
    return values


def differences(before, after) -> dict[str, tuple]:
    """Options that differ between two configs, `{"optim.peak-lr": (before, after)}`.

    An option that one of the configs does not have counts as None. Two paths of the same file or
    folder are equal.
    """
    a, b = leaves(before), leaves(after)
    return {
        name: (a.get(name), b.get(name))
        for name in (*a, *(b.keys() - a.keys()))
        if a.get(name) != b.get(name) and not _is_same_file(a.get(name), b.get(name))
    }


def _is_same_file(a, b) -> bool:
    try:
        return isinstance(a, str) and isinstance(b, str) and os.path.samefile(a, b)
    except (OSError, ValueError):  # no path, or no file of this name
        return False


def override(cfg, args: list[str], prog: str = "panorax run"):
    """`cfg` with the typed options in `args`, such as `--model.n-layers 4`.

    `--help` prints every option and exits. Raises UserError for an unknown option (with the nearest
    known one), a wrong type, a missing value, or a value out of range.
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
    stderr = io.StringIO()
    try:
        with contextlib.redirect_stderr(stderr):
            parsed = tyro.cli(
                _resolved(cfg),
                default=_recast(cfg, _resolved(cfg)),
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
        raise UserError(_message(stderr.getvalue())) from None
    except ValueError as error:  # raised by a config's own __post_init__
        raise UserError(str(error)) from error


def choices(kind: type) -> dict[str, dict[str, type]]:
    """The interchangeable parts of a config: fields typed as a union of dataclasses.

    Returns `{"optim": {"adamw": AdamW, "sgd": SGD, ...}, ...}`.
    """
    parts = {}
    for name, hint in typing.get_type_hints(kind).items():
        kinds = [k for k in typing.get_args(hint) if dataclasses.is_dataclass(k)]
        if len(kinds) > 1:
            parts[name.replace("_", "-")] = {_part_name(k): k for k in kinds}
    return parts


def _part_name(kind: type) -> str:
    """The name of a part as an option: "adamw" for AdamW, "dit" for panorax.nets.dit:Config."""
    is_generic = kind.__name__ in ("Config", "Model")
    name = kind.__module__.rpartition(".")[2] if is_generic else kind.__name__
    return name.lower().replace("_", "-")


def choose(cfg, args: list[str]) -> tuple[object, list[str]]:
    """Replaces the parts that options such as `--optim muon` or `--net=unet` name.

    Returns the config and the remaining arguments. A part of a new type has its default values; a
    part of the same type keeps its values. Raises UserError for a part that is not a choice.
    """
    kinds, remaining, queue = choices(type(cfg)), [], iter(args)
    for arg in queue:
        option, equals, value = arg.removeprefix("--").partition("=")
        if not arg.startswith("--") or option not in kinds:
            remaining.append(arg)
            continue
        value = value if equals else next(queue, "")
        if value not in kinds[option]:
            known = kinds[option]
            raise UserError(
                f"--{option} is one of {', '.join(known)}, got {value!r}{nearest(value, known)}"
            )
        field = option.replace("-", "_")
        if type(getattr(cfg, field)) is not kinds[option][value]:
            cfg = dataclasses.replace(cfg, **{field: kinds[option][value]()})
    return cfg, remaining


def _choices_text(cfg) -> str:
    """The interchangeable parts of `cfg`, as `--help` describes them."""
    lines = [
        f"--{name} {'|'.join(kinds)} (now {_part_name(type(getattr(cfg, name.replace('-', '_'))))})"
        for name, kinds in choices(type(cfg)).items()
    ]
    return "Parts: " + "; ".join(lines) if lines else ""


@functools.cache
def _resolved(cfg) -> type:
    """The type of `cfg` with every nested config typed by its value instead of a union."""
    nested = [
        (f.name, type(getattr(cfg, f.name)))
        for f in dataclasses.fields(cfg)
        if dataclasses.is_dataclass(getattr(cfg, f.name))
    ]
    return dataclasses.make_dataclass(
        type(cfg).__name__,
        nested,
        bases=(type(cfg),),
        frozen=True,
        namespace={"__module__": type(cfg).__module__},
    )


def _recast(cfg, kind: type):
    return kind(**{f.name: getattr(cfg, f.name) for f in dataclasses.fields(cfg)})


def _message(box: str) -> str:
    """The message inside the box that tyro draws around an error, in one line."""
    lines = [line.strip("│ \n") for line in box.splitlines()[1:]]
    message = []
    for line in lines:
        if line.startswith(("─", "╰")):
            break
        message.append(line)
    return (
        re.sub(r"^-+ Error parsing \w+: |-{9,}", "", " ".join(message)).strip() or "invalid options"
    )


def to_json(cfg, **flags: str) -> str:
    """A config as JSON text with the version of Panorax and the type of every dataclass.

    flags: values of flags of `panorax run` that the text holds beside the config, such as the mesh.
    """

    def encode(value):
        if dataclasses.is_dataclass(value):
            kind = f"{type(value).__module__}:{type(value).__qualname__}"
            return {"type": kind} | {
                f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)
            }
        return [encode(v) for v in value] if isinstance(value, tuple) else value

    written = {"panorax": panorax.__version__} | {f"--{name}": x for name, x in flags.items()}
    return json.dumps(written | encode(cfg), indent=2) + "\n"


def from_json(text: str | bytes) -> tuple[object, dict[str, str]]:
    """The config and the flags that `to_json` wrote as `text`.

    Types come from Panorax, from packages with an entry point of the group `GROUP`, and from
    modules that are already imported; no other module is imported. Raises UserError, which names
    the version that wrote the text, if this version cannot read it.
    """

    def decode(value):
        if isinstance(value, dict):
            module, _, name = value["type"].partition(":")
            if module not in sys.modules and module.partition(".")[0] not in _packages():
                raise ImportError(
                    f"its type is in the module {module}, which is not imported; "
                    "--config FILE.py names the config file that the run was started with"
                )
            kind = getattr(importlib.import_module(module), name)
            if not dataclasses.is_dataclass(kind):
                raise TypeError(f"{value['type']} is not a config")
            return kind(**{k: decode(v) for k, v in value.items() if k != "type"})
        return tuple(decode(v) for v in value) if isinstance(value, list) else value

    version = None
    try:
        stored = json.loads(text)
        if not isinstance(stored, dict):
            raise TypeError("expected an object")
        version = stored.pop("panorax", "0.1")
        flags = {name: stored.pop(name) for name in [*stored] if name.startswith("--")}
        return decode(stored), {name.removeprefix("--"): x for name, x in flags.items()}
    except (
        KeyError,
        TypeError,
        ValueError,
        ImportError,
        AttributeError,
        RecursionError,
    ) as error:
        writer = f"was written by panorax {version}" if version else "is damaged"
        raise UserError(
            f"the config {writer}; panorax {panorax.__version__} cannot read it: "
            f"{type(error).__name__}: {error}"
        ) from error


def _packages() -> set[str]:
    """Packages whose configs may be imported: Panorax, and those that add volumes to it."""
    points = importlib.metadata.entry_points(group=GROUP)
    return {"panorax", *(point.value.partition(".")[0] for point in points)}


def cache_dir() -> Path:
    """The folder of cached files: $PANORAX_CACHE, or `panorax` in the user's cache folder."""
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("PANORAX_CACHE") or user / "panorax")
