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
import traceback
import typing
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Literal

import panorax
from panorax.core import reasons
from panorax.core.errors import UserError
from panorax.core.names import nearest, nearest_option
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
    """The module of a user's config file.

    The folder of the file becomes importable; `import NAME` of the file itself gives this module,
    unless another module has the name. Raises UserError if the file does not exist, fails, or has
    no get_config().
    """
    if not path.is_file():
        raise UserError(f"config file {path} does not exist")
    folder = str(path.parent.absolute())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(_name_of(path), path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    with failures(f"config file {path}", path):
        spec.loader.exec_module(module)
    if not callable(getattr(module, "get_config", None)):
        raise UserError(f"config file {path} has no get_config() that returns a Config")
    return module


def _name_of(path: Path) -> str:
    """The stem of a user's file, or `config_STEM` if another module has that name."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        found = importlib.util.find_spec(path.stem)
        if found is None or Path(found.origin or "").samefile(path):
            return path.stem
    return f"config_{path.stem}"


@contextlib.contextmanager
def failures(what: str, path: Path):
    """Turns an exception of a user's code into a UserError with the failing line of `path`."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # a user's file can fail in any way
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(path.absolute())]
        where = f" (line {lines[-1]})" if lines else ""
        raise UserError(f"{what} fails: {type(error).__name__}: {error}{where}") from error


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


def override(cfg, args: list[str], prog: str = "panorax run", flags: tuple[str, ...] = ()):
    """`cfg` with the typed options in `args`, such as `--model.n-layers 4`.

    `--help` prints every option and exits. Raises UserError for an unknown option (with the nearest
    known one, or the nearest of `flags`), a wrong type, a missing value, or a value out of range.
    """
    import tyro

    cfg, args = choose(cfg, args)
    names = tuple("--" + name for name in (*leaves(cfg), *choices(type(cfg))))
    for arg in args:
        option = arg.split("=")[0].replace("_", "-")
        if re.match("--?[a-zA-Z]", arg) and option not in (*names, "--help"):
            hint = nearest_option(option, (*names, *flags))
            raise UserError(f"unknown option {option}{hint}; `{prog} --help` lists all")
    stderr = io.StringIO()
    try:
        with contextlib.redirect_stderr(stderr):
            parsed = tyro.cli(
                _resolved(cfg),
                default=_recast(cfg, cfg, _resolved),
                args=args,
                prog=prog,
                description=_choices_text(cfg),
                config=(tyro.conf.FlagConversionOff,),
            )
            parsed = _recast(parsed, cfg, type)
            check(parsed)
            return parsed
    except SystemExit as stop:
        if stop.code == 0:
            raise
        raise UserError(reasons.of_parser(stderr.getvalue(), names)) from None
    except ValueError as error:  # raised by a config's own __post_init__
        raise UserError(str(error)) from error


def completed(cfg, args: list[str]):
    """`cfg` with the values of options that follow from other options, unless `args` has them.

    The module of a Config may define `implied(cfg)`, which returns such options by name:
    `{"model.vocab": 257}`.
    """
    implied = getattr(module_of(cfg), "implied", lambda cfg: {})(cfg)
    typed = {arg.partition("=")[0].removeprefix("--").replace("_", "-") for arg in args}
    missing = [f"--{name}={value}" for name, value in implied.items() if name not in typed]
    return override(cfg, missing) if missing else cfg


def options_text(cfg, args: list[str]) -> str:
    """The help of every option of `cfg`, after the choices of its parts in `args`."""
    cfg, _ = choose(cfg, args)
    stdout = io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.suppress(SystemExit):
        override(cfg, ["--help"])
    _, _, text = stdout.getvalue().partition("\n\n")  # without the usage line
    return "\n".join(map(str.rstrip, text.splitlines()))


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


def chosen(cfg) -> dict[str, str]:
    """The chosen part of every choice of a config, `{"optim": "adamw"}`."""
    value = lambda name: getattr(cfg, name.replace("-", "_"))
    return {name: _part_name(type(value(name))) for name in choices(type(cfg))}


def _part_name(kind: type) -> str:
    """The name of a part as an option.

    AdamW is "adamw", panorax.nets.dit:Config is "dit", ...from_gymnax:Config is "gymnax".
    """
    is_generic = kind.__name__ in ("Config", "Model")
    name = kind.__module__.rpartition(".")[2] if is_generic else kind.__name__
    return name.lower().removeprefix("from_").replace("_", "-")


def choose(cfg, args: list[str]) -> tuple[object, list[str]]:
    """Replaces the parts that options such as `--optim muon` or `--net=unet` name.

    Returns the config and the remaining arguments. A part of a new type has its default values; a
    part of the same type keeps its values. If the module of a part has `ids()`, each of these names
    also chooses the part, with this `name`: `--environment Acrobot-v1`. Parts have choices too:
    `--data recorded --data.environment Acrobot-v1`. Raises UserError for a part that is not a
    choice.
    """
    remaining, queue = [], iter(args)
    for arg in queue:
        option, equals, value = arg.removeprefix("--").partition("=")
        if not arg.startswith("--") or not _is_choice(cfg, option):
            remaining.append(arg)
            continue
        value = value if equals else next(queue, "")
        cfg = _with_part(cfg, option, lambda kinds, part: _chosen(option, value, kinds, part))
    return cfg, remaining


def _is_choice(cfg, option: str) -> bool:
    """True if `option` names a choice of `cfg`, or of a part of it: "data.environment"."""
    head, _, rest = option.partition(".")
    if not rest:
        return head in choices(type(cfg))
    part = getattr(cfg, head.replace("-", "_"), None)
    return dataclasses.is_dataclass(part) and _is_choice(part, rest)


def _with_part(cfg, option: str, choice: Callable):
    """`cfg` with choice(kinds, part) instead of the part that `option` names."""
    head, _, rest = option.partition(".")
    field = head.replace("-", "_")
    part = getattr(cfg, field)
    part = _with_part(part, rest, choice) if rest else choice(choices(type(cfg))[head], part)
    return dataclasses.replace(cfg, **{field: part})


def _chosen(option: str, value: str, kinds: dict[str, type], part):
    """The part that `--option value` names, instead of `part`. Raises UserError for no part."""
    if value in kinds:
        return part if type(part) is kinds[value] else kinds[value]()
    known, also = [*kinds], ""
    for kind in kinds.values():
        ids = getattr(sys.modules[kind.__module__], "ids", tuple)()
        if value in ids:
            return kind(name=value)
        known, also = known + [*ids], ", or a name that one of them knows" if ids else also
    hint = nearest(value, known)
    raise UserError(f"--{option} is one of {', '.join(kinds)}{also}, got {value!r}{hint}")


def _choices_text(cfg) -> str:
    """The interchangeable parts of `cfg`, as `--help` describes them."""
    lines = _choice_lines(cfg, "--")
    return "Parts: " + "; ".join(lines) if lines else ""


def _choice_lines(cfg, prefix: str) -> list[str]:
    """A line for each choice of `cfg` and of its parts."""
    lines = []
    for name, kinds in choices(type(cfg)).items():
        has_ids = any(hasattr(sys.modules[kind.__module__], "ids") for kind in kinds.values())
        part = getattr(cfg, name.replace("-", "_"))
        names = "|".join(kinds) + "|NAME" * has_ids
        lines.append(f"{prefix}{name} {names} (now {_part_name(type(part))})")
        lines += _choice_lines(part, f"{prefix}{name}.")
    return lines


@functools.cache
def _resolved(cfg) -> type:
    """The type of `cfg` with every nested config typed by its value instead of a union."""
    nested = [
        (f.name, _resolved(getattr(cfg, f.name)))
        for f in dataclasses.fields(cfg)
        if dataclasses.is_dataclass(getattr(cfg, f.name))
    ]
    if not nested:
        return type(cfg)
    return dataclasses.make_dataclass(
        type(cfg).__name__,
        nested,
        bases=(type(cfg),),
        frozen=True,
        namespace={"__module__": type(cfg).__module__},
    )


def _recast(cfg, like, kind_of: Callable[[object], type]):
    """`cfg` and its nested configs with the types `kind_of` of the same places of `like`."""
    values = {f.name: getattr(cfg, f.name) for f in dataclasses.fields(cfg)}
    nested = {name: x for name, x in values.items() if dataclasses.is_dataclass(x)}
    values |= {name: _recast(x, getattr(like, name), kind_of) for name, x in nested.items()}
    return kind_of(like)(**values)


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
